#!/usr/bin/perl
# gbctl config check and show. No database.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Cwd;
use JSON::PP;

my $gbctl = ($ENV{GB_ASAN} ? 'build/asan' : 'build') . '/gbctl';
my $dir = tempdir();
my $yaml = "$dir/goosebit.yaml";

delete @ENV{grep { /^(?:PG|GOOSEBIT_)/ } keys %ENV};


# gbctl(YAML, {ENV}, ARGS)
sub gbctl {
    my ($text, $env, @args) = @_;
    local %ENV = (%ENV, %$env);
    spew($yaml, $text);
    my $r = run([$gbctl, '-c', $yaml, @args]);
    $r->{json} = eval { decode_json($r->{out}) };
    return $r;
}


# show

my $r = gbctl("poll_time: 00:00:30\ndevice_auth:\n  enable: true\n"
    . "db_uri: postgres://goose:s3cret\@db.example:5433/bits\n"
    . "storage:\n  s3:\n    secret_access_key: s3cret\n",
    { GOOSEBIT_TRACK_DEVICE_IP => 'false' }, qw(config show -o json));
is($r->{exit}, 0, 'show: exit 0') or diag $r->{err};

my %is = map { $_->{key} => $_ } @{$r->{json}};

is($is{poll_time}{value}, '00:00:30', 'show: a value of the file');
is($is{poll_time}{origin}, "$yaml:1", 'show: with its line');
is($is{track_device_ip}{value}, JSON::PP::false, 'show: environment, a bool');
is($is{track_device_ip}{origin}, 'GOOSEBIT_TRACK_DEVICE_IP',
    'show: with its variable');
cmp_ok($is{port}{value}, '==', 60053, 'show: a default, a number');
is($is{port}{origin}, 'default', 'show: and that it is one');
is($is{'device_auth.enable'}{value}, JSON::PP::true, 'show: nested key');
is($is{'device_auth.enable'}{origin}, "$yaml:3", 'show: nested line');
is($is{db_uri}{value}, 'postgres://goose:***@db.example:5433/bits',
    'show: a password is masked');
unlike($r->{out}, qr/s3cret/, 'show: no secret anywhere');
is_deeply($is{tenant}{value}, ['DEFAULT'], 'show: a list is a list');
is($is{'device_auth.external_url'}{value}, undef, 'show: absent is null');

$r = gbctl("poll_time: 00:00:30\n", {}, qw(config show));
like($r->{out}, qr/^poll_time +00:00:30 +\Q$yaml:1\E$/m, 'show: table');
unlike($r->{out}, qr/"/, 'show: table without quotes');

$r = gbctl("db_uri: postgres://a:b\@c/d\n", {},
    '--db', 'postgresql://u:s3cret@h/x', qw(config show -o json));
my ($db) = grep { $_->{key} eq 'db_uri' } @{$r->{json}};
is($db->{value}, 'postgresql://u:***@h/x', 'show: --db beats db_uri');
is($db->{origin}, '--db', 'show: and is named');


# check

$r = gbctl("poll_time: 00:00:30\n", {}, qw(config check));
is_deeply([@$r{qw(exit out err)}], [0, '', "$yaml: ok\n"], 'check: ok');

$r = gbctl("port: 60053\npoll_tiem: 00:00:30\nport2: 1\n"
    . "max_concurrent_updates: many\n", {}, qw(config check));
is($r->{exit}, 1, 'check: errors: exit 1');
like($r->{out}, qr/^error +\Q$yaml:2\E: .*poll_tiem.*poll_time/m,
    'check: unknown key with its line and the nearest');
like($r->{out}, qr/^error +\Q$yaml:4\E: .*max_concurrent_updates/m,
    'check: wrong type with its line');
like($r->{err}, qr/^gbctl: \Q$yaml\E: 3 errors$/m, 'check: counts them');

$r = gbctl("port: x\n", { GOOSEBIT_POL_TIME => '1' },
    qw(config check -o json));
is($r->{exit}, 1, 'check -o json: exit 1');
is_deeply([sort map { $_->{kind} } @{$r->{json}}], ['error', 'ignored'],
    'check -o json: error and ignored variable');
is(decode_json($r->{err})->{error}{code}, 'invalid', 'check: error code');

$r = gbctl("port: 1\n", { GOOSEBIT_POL_TIME => '1' }, qw(config check));
is($r->{exit}, 0, 'check: an unknown variable is no error');
like($r->{out}, qr/^ignored +.*GOOSEBIT_POL_TIME/m, 'check: but listed');

$r = gbctl("port: [\n", {}, qw(config check));
is($r->{exit}, 1, 'check: no YAML');
like("$r->{out}$r->{err}", qr/\Q$yaml:\E\d+: /, 'check: with its line');


# every verb says what is wrong with the file, once

$r = gbctl("port: x\n", {}, 'status');
is($r->{exit}, 1, 'wrong file: status exits 1');
like($r->{err}, qr/\Agbctl: \Q$yaml:1\E: .*\nhint: .*config check.*\n\z/,
    'wrong file: one line and a hint');

$r = run([$gbctl, '-c', "$dir/none.yaml", 'config', 'show']);
is($r->{exit}, 1, 'missing file: exit 1');
like($r->{err}, qr/^gbctl: \Q$dir\E\/none\.yaml: No such file/,
    'missing file: named');

$r = gbctl("db_uri: sqlite:///db.sqlite3\n", {}, 'status');
isnt($r->{exit}, 0, 'sqlite: not done');
like($r->{err}, qr/gbctl import goosebit/, 'sqlite: says what to do');


# where the file is looked for

{
    spew("$dir/other.yaml", "port: 1234\n");
    local $ENV{GOOSEBIT_CONFIG} = "$dir/other.yaml";
    my $x = run([$gbctl, qw(config show -o jsonl)]);
    my %v = map { my $d = decode_json($_); $d->{key} => $d->{value} }
        split /\n/, $x->{out};
    is($v{port}, 1234, 'GOOSEBIT_CONFIG; jsonl, an object a line');
}

{
    spew($yaml, "port: 77\n");
    my $x = run(['sh', '-c', "cd $dir && \"\$0\" config show -o csv",
        getcwd() . "/$gbctl"]);
    like($x->{out}, qr/\Akey,value,origin\r\n/, 'csv: header, CRLF');
    like($x->{out}, qr/^port,77,\S*goosebit\.yaml:1\r\n/m,
        'csv: ./goosebit.yaml is found');
}

done_testing;
