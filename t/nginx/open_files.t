# Files of artifacts stay open between requests: not when they are replaced or
# deleted, and not for longer than somebody asks for them.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Conf;
use Goosebit::Device;
use Goosebit::Test;

my $s = stack(fsync => 'off', workers => 1,
    http => 'goosebit_open_file_cache max=2 inactive=3s;');
my $off = stack(with => $s, workers => 1,
    http => 'goosebit_open_file_cache off;');

my $image = Goosebit::Device::image($s, '2.0.0', size => 5000);
Goosebit::Device::rollout($s, $image->{id});
my $d = Goosebit::Device->new($s, 'dev');
$d->register;
my $id = $d->action;
my ($url) = $d->get("deploymentBase/$id")
    ->{json}{deployment}{chunks}[0]{artifacts}[0]{_links}{download}{href}
    =~ m{^http://[^/]+(/.*)};
my ($stored) = glob $s->artifacts . '/*/*/*';
my $bytes = $image->{bytes};


# The file as the worker has it open; of one that is gone, "... (deleted)".
sub open_file {
    my ($of) = @_;
    return join ' ', map { my $to = readlink // '';
        index($to, $s->artifacts) == 0 ? $to : () }
        map { glob "/proc/$_/fd/*" } $of->workers;
}


subtest 'kept open' => sub {
    is($s->get($url, headers => [Range => 'bytes=0-9'])->{body},
        substr($bytes, 0, 10), 'a range');
    is(open_file($s), $stored, 'the file stays open');
    is($off->get($url)->{body}, $bytes, 'with off');
    ok((wait_for { open_file($off) eq '' }), 'it does not');
};


subtest 'replaced' => sub {
    my $other = reverse $bytes;
    is($s->get($url)->{body}, $bytes, 'known');
    spew("$stored.new", $other);
    rename "$stored.new", $stored or die;
    ok((wait_for { $s->get($url)->{body} eq $other }), 'the new bytes');
    is(open_file($s), $stored, 'no other stays open');
};


subtest 'deleted' => sub {
    is($s->get($url)->{status}, 200, 'known');
    rename $stored, "$stored.away" or die;
    is($off->get($url)->{status}, 404, 'with off it is missed at once');
    ok((wait_for { $s->get($url)->{status} == 404 }), 'else soon');
    is(open_file($s), '', 'and then it is closed');
    rename "$stored.away", $stored or die;
    is($s->get($url)->{status}, 200, 'there again');
};


# Its room on the disk is free only then.
subtest 'nobody asks' => sub {
    is($s->get($url)->{status}, 200, 'known');
    unlink $stored or die;
    is(open_file($s), "$stored (deleted)", 'still open');
    ok((wait_for { open_file($s) eq '' } 15), 'closed without a request');
};


subtest 'the directive' => sub {
    my $conf = slurp($s->dir . '/nginx.conf');
    my $file = tempdir() . '/try.conf';
    my %wrong = (
        '' => 'invalid number of arguments',
        'on' => 'expected off, or max=N',
        'off inactive=1s' => 'expected off, or max=N',
        'max=0' => 'expected off, or max=N',
        'max=x' => 'expected off, or max=N',
        'max=1 inactive=0' => 'expected off, or max=N',
        'max=1 inactive=x' => 'expected off, or max=N',
        'inactive=1s' => 'must have the "max" parameter',
        'max=1 max=2' => 'duplicate parameter "max=2"',
        'off; goosebit_open_file_cache off' => 'is duplicate',
    );

    for my $args (sort keys %wrong) {
        spew($file, $conf
            =~ s/goosebit_open_file_cache [^;]*;/goosebit_open_file_cache $args;/r);
        my $r = Goosebit::Conf::check($s, $file);
        ok($r->{exit} != 0, "goosebit_open_file_cache $args");
        like($r->{err}, qr/\Q$wrong{$args}/, 'and says why');
    }
};

done_testing;
