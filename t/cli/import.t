#!/usr/bin/perl
# gbctl import: what it refuses. What it takes over is proven with gooseBit
# itself, in t/e2e/import_goosebit.t.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(nginx => 0, fsync => 'off');
my $dir = tempdir;

sub import_from { $s->gbctl('import', 'goosebit', @_) }


# what is no such database: one line, a hint, nothing changed

spew("$dir/empty.sqlite3", '');
spew("$dir/text", 'hello, world' x 100);

for (
    ["$dir/none.sqlite3", 1, qr{^gbctl: $dir/none\.sqlite3: No such file}],
    [$dir, 1, qr/^gbctl: \Q$dir\E: is not a file/],
    ["sqlite://$dir/empty.sqlite3", 1,
        qr/^gbctl: can't read the gooseBit database: no such table/],
    ["$dir/text", 1,
        qr/^gbctl: can't read the gooseBit database: file is not a database/],
    ['mysql://u@h/d', 2, qr/^gbctl: a gooseBit database is sqlite:/],
    ['postgres://u:s3cret@127.0.0.1:1/d', 1,
        qr/^gbctl: can't read the gooseBit database: .*refused/],
    ['postgres://u:s3cret@[::1/d', 2, qr/^gbctl: .*URI/],
    ['postgres:///postgres?user=postgres&host=' . $s->socket, 1,
        qr/^gbctl: can't read the gooseBit database: .*does not exist/],
) {
    my ($uri, $exit, $like) = @$_;
    my $r = import_from($uri);
    is($r->{exit}, $exit, "$uri: exit $exit") or diag($r->{err});
    like($r->{err}, $like, "$uri: says why");
    like($r->{err}, qr/\Agbctl: .+\n(?:hint: .+\n)?\z/, "$uri: one line");
    unlike($r->{err}, qr/s3cret/, "$uri: no password");
}

is(import_from("$dir/text", '-o', 'json')->{err} =~ /"code":"source"/, 1,
    'the code of -o json');


# its URI is masked where everybody can read it

{
    require IO::Socket::INET;
    my $mute = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die $!;
    my $port = $mute->sockport;
    local %ENV = (%ENV, %{$s->env});
    my $pid = fork // die;
    if ($pid == 0) {
        open STDERR, '>', '/dev/null';
        exec $ENV{GBCTL}, 'import', 'goosebit',
            "postgres://u:s3cret\@127.0.0.1:$port/d" or die;
    }
    my $client = $mute->accept;
    my $line = slurp("/proc/$pid/cmdline") =~ tr/\0/ /r;
    like($line, qr{postgres://u:\*\*\*@127}, 'process list: masked');
    unlike($line, qr/s3cret/, 'process list: no password');
    kill TERM => $pid;
    waitpid $pid, 0;
}

done_testing;
