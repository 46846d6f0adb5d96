# What a trusted proxy says in hawkBit's headers, and only where it is trusted.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Conf;
use Goosebit::Test;

my $s = stack(fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: strict\n",
    http => "map \$goosebit_tenant \$issuers { DEFAULT 'aa11;BB22'; }",
    server => '
        location /cn/ {
            goosebit;
            goosebit_trusted_header X-Ssl-Client-Cn;
            goosebit_issuer_hash $issuers;
        }
        location /id/ {
            goosebit;
            goosebit_trusted_header X-Controller-Id;
            goosebit_issuer_hash aa11;
        }
        location /own/ {
            goosebit;
            goosebit_trusted_header X-Device X-Ca-%d;
            goosebit_issuer_hash aa11;
            location /own/off/ { goosebit; goosebit_trusted_header off; }
            location /own/OFF/ { goosebit; goosebit_trusted_header OFF; }
        }
        location /any/ { goosebit; goosebit_trusted_header X-Ssl-Client-Cn; }
        location /empty/ {
            goosebit;
            goosebit_trusted_header X-Ssl-Client-Cn;
            goosebit_issuer_hash "";
        }
    ');
my $v1 = 'DEFAULT/controller/v1';

sub status {
    my ($path, @headers) = @_;
    return $s->get($path, headers => \@headers)->{status};
}

my $one = 'X-Ssl-Issuer-Hash-1';
my $two = 'X-Ssl-Issuer-Hash-2';
my $cn = 'X-Ssl-Client-Cn';

for (['its name and issuer', 200, $cn, 'd', $one, 'aa11'],
    ['the other issuer', 200, $cn, 'd', $one, 'bb22'],
    ['in upper case', 200, $cn, 'd', $one, 'AA11'],
    ['header names in any case', 200, 'x-ssl-client-cn', 'd',
        'X-SSL-ISSUER-HASH-1', 'aa11'],
    ['the second of its chain', 200, $cn, 'd', $one, 'cc', $two, 'bb22'],
    ['a third after an empty one', 401, $cn, 'd', $one, 'cc', $two, '',
        'X-Ssl-Issuer-Hash-3', 'aa11'],
    ['a second without a first', 401, $cn, 'd', $two, 'aa11'],
    ['none of them', 401, $cn, 'd', $one, 'cc33'],
    ['part of one', 401, $cn, 'd', $one, 'aa1'],
    ['the whole list', 401, $cn, 'd', $one, 'aa11;BB22'],
    ['an empty one', 401, $cn, 'd', $one, ''],
    ['no issuer', 401, $cn, 'd'],
    ['another name', 401, $cn, 'e', $one, 'aa11'],
    ['in other letters', 401, $cn, 'D', $one, 'aa11'],
    ['two names', 401, $cn, 'd', $cn, 'd', $one, 'aa11'],
    ['two issuers', 401, $cn, 'd', $one, 'cc', $one, 'aa11'],
    ['an empty name', 401, $cn, '', $one, 'aa11'],
    ['nothing', 401],
    ['the header of elsewhere', 401, 'X-Controller-Id', 'd', $one, 'aa11'],
    ['with underscores', 401, 'X_Ssl_Client_Cn', 'd', $one, 'aa11'])
{
    my ($name, $status, @headers) = @$_;
    is(status("/cn/$v1/d", @headers), $status, "X-Ssl-Client-Cn: $name");
}

is(status("/id/$v1/d", 'X-Controller-Id', 'd', 'X-Authority-1', 'aa11'), 200,
    'X-Controller-Id and X-Authority-1');
is(status("/id/$v1/d", 'X-Controller-Id', 'd', $one, 'aa11'), 401,
    'not with the other\'s issuer');
is(status("/own/$v1/d", 'X-Device', 'd', 'X-Ca-1', 'aa11'), 200,
    'headers of one\'s own');
is(status("/own/off/$v1/d", 'X-Device', 'd', 'X-Ca-1', 'aa11'), 401,
    'switched off further in');
is(status("/own/OFF/$v1/d", 'off', 'd', 'X-Ssl-Issuer-Hash-1', 'aa11'), 401,
    'in any letters: there is no header of that name');
is(status("/any/$v1/d", $cn, 'd'), 200, 'any issuer');
is(status("/any/$v1/e", $cn, 'd'), 401, 'not any device');
is(status("/empty/$v1/d", $cn, 'd', $one, ''), 401, 'no issuer at all');
is(status("/$v1/d", $cn, 'd', $one, 'aa11', 'X-Controller-Id', 'd',
    'X-Authority-1', 'aa11'), 401, 'nowhere else');

is($s->gbctl('device', 'add', 'tok', '--token', 'T0ken')->{exit}, 0, 'a token');
my @token = (Authorization => 'TargetToken T0ken');
is(status("/cn/$v1/tok", @token), 200, 'counts where there is no header');
is(status("/cn/$v1/tok", @token, $cn, ''), 200, 'or an empty one');
is(status("/cn/$v1/tok", @token, $cn, 'd', $one, 'aa11'), 401,
    'not beside another\'s name');
is($s->value('select count(*) from goosebit.device'), 2, 'two devices');
unlike($s->error_log . $s->access_log, qr/T0ken/, 'no token in a log');


# wrong directives stop nginx with a reason
for (['goosebit_trusted_header "";', qr/name of a header/],
    ['goosebit_trusted_header X-Y Z;', qr/ends in "%d"/],
    ['goosebit_trusted_header X_Y;', qr/name of a header/],
    ['goosebit_registration maybe;', qr/rate=N\/s/],
    ['goosebit_registration rate=0/s;', qr/rate=N\/s/],
    ['goosebit_registration rate=5;', qr/rate=N\/s/],
    ['goosebit_auth_request auth;', qr/URI of this server/],
    ['goosebit_auth_timeout 0;', qr/must not be 0 in \S+bad\.conf:LINE$/m],
    ['goosebit_status;', qr/"goosebit" directive is duplicate/],
    ['goosebit_auth_ca /nowhere.pem;', qr/nowhere\.pem/])
{
    my ($directive, $why) = @$_;
    my $conf = slurp($s->dir . '/nginx.conf');
    $conf =~ s/location \/cn\/ \{/$& $directive/;
    my $line = 1 + ($` =~ tr/\n//);
    $why = qr/@{["$why" =~ s{LINE}{$line}r]}/;
    my $dir = tempdir();
    spew("$dir/bad.conf", $conf);
    my $r = Goosebit::Conf::check($s, "$dir/bad.conf");
    ok($r->{exit} != 0, $directive);
    like($r->{err}, $why, 'and why');
}

done_testing;
