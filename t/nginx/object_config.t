# What `nginx -t` says of an object store, and where: file and line.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Conf;
use Goosebit::Test;

my $s = stack(fsync => 'off', workers => 1);
my $yaml = slurp($s->config);
my $lines = () = $yaml =~ /\n/g;
my $conf = slurp($s->dir . '/nginx.conf');
my $file = tempdir() . '/try.conf';
my %s3 = (bucket => 'b', access_key_id => 'ID', secret_access_key => 'SECRET');

# The settings with storage.s3 of these keys, and nginx.conf with these lines
# where the server's are; then what nginx says.
sub check {
    my ($keys, $server, $backend) = @_;
    my %is = (%s3, %{$keys // {}});
    spew($s->config, $yaml . 'storage:
  backend: ' . ($backend // 's3') . "\n  s3:\n"
        . join '', map { "    $_: '$is{$_}'\n" }
            grep { defined $is{$_} } sort keys %is);
    spew($file, $conf =~ s/(listen [^;]*;)/$1\n$server/r);
    return Goosebit::Conf::check($s, $file);
}

my $store = 'goosebit_object_store @store;';
my $directive = '"goosebit_object_store"';
my $at = $s->config . ':' . ($lines + 2);
my $s3_at = "storage.backend is s3 ($at)";
my $files_at = "storage.backend is filesystem ($at)";

my $r = check({}, $store);
is($r->{exit}, 0, 'all that is needed') or diag $r->{err};
unlike($r->{err}, qr/warn/, 'and no more');
is(check({}, 'goosebit_object_store /store;')->{exit}, 0, 'a URI as well');
is(check({}, 'goosebit_artifact_delivery redirect;')->{exit}, 0,
    'a redirect needs no location');

for ([{}, '', qr/"goosebit" in \Q$file\E:\d+ needs $directive, as \Q$s3_at\E/,
        'no goosebit_object_store'],
    [{ access_key_id => undef }, $store, qr/\Q$at\E: storage\.s3\.access_key_id is not set, for storage/, 'no key'],
    [{ secret_access_key => undef }, $store,
        qr/\Q$at\E: storage\.s3\.secret_access_key is not set/, 'no secret'],
    [{ bucket => undef }, $store,
        qr/\Q$at\E: storage\.backend s3 needs storage\.s3\.bucket/,
        'no bucket'],
    [{ bucket => 'a/b' }, $store,
        qr/:@{[$lines + 5]}: storage\.s3\.bucket .*can't have/, 'a wrong one'],
    [{ endpoint_url => 'https://u:p@s3/' }, $store,
        qr/:@{[$lines + 6]}: storage\.s3\.endpoint_url/, 'a wrong endpoint'],
    [{}, 'goosebit_object_store store;',
        qr/"goosebit_object_store" directive needs the URI or .*conf:\d+/,
        'neither URI nor name'],
    [{}, 'goosebit_object_store /a?b;',
        qr/"goosebit_object_store" directive needs the URI/, 'arguments'],
    [{}, "$store $store", qr/"goosebit_object_store" directive is duplicate/,
        'twice'],
    [{}, 'goosebit_artifact_delivery none;',
        qr/invalid value "none" in .*conf:\d+/, 'an unknown delivery'],
    [{}, 'goosebit_presign_ttl 0;',
        qr/"goosebit_presign_ttl" directive must be from 1s to 7d/,
        'no time at all'],
    [{}, 'goosebit_presign_ttl 8d;', qr/must be from 1s to 7d/,
        'more than S3 allows'])
{
    my ($keys, $server, $says, $name) = @$_;
    $r = check($keys, $server);
    is($r->{exit}, 1, $name);
    like($r->{err}, $says, 'says what and where');
    my $errors = () = $r->{err} =~ /\[emerg\]/g;
    is($errors, 1, 'once');
    unlike($r->{err}, qr/SECRET/, 'no secret');
}

# A location of its own, and one within.
$r = check({}, "location /a/ { $store goosebit; }
    location /b/ { goosebit; if (\$arg_x) { set \$y 1; } }");
is($r->{exit}, 1, 'one location has it, others not');
my ($line) = $r->{err} =~ /"goosebit" in \S+:(\d+) needs/;
my @conf = split /\n/, slurp($file);
like($conf[($line // 1) - 1], qr/goosebit;/, 'the line is that of goosebit');

$r = check({}, "$store location /c/ { goosebit; if (\$arg_x) { set \$y 1; } }");
is($r->{exit}, 0, '"if" has what is around it');

$r = check({}, $store, 'filesystem');
is($r->{exit}, 0, 'a store for files');
like($r->{err}, qr/\[warn\] $directive is without effect, as \Q$files_at\E/,
    'is told');

# A reload with a mistake goes on as before.
check({ secret_access_key => undef }, $store);
my @workers = $s->workers;
kill HUP => $s->pid;
ok($s->wait_log(qr/secret_access_key is not set/), 'a reload says it, too');
is_deeply([$s->workers], \@workers, 'and changes nothing');
$s->allow_log(qr/secret_access_key is not set/);
spew($s->config, $yaml);

done_testing;
