# Variables in NGINX's own limits, maps and logs, before the handler has run.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(fsync => 'off', workers => 1, http => <<'HTTP', server => <<'SERVER');
    limit_req_zone $goosebit_tenant/$goosebit_device zone=poll:1m rate=1r/m;
    map $goosebit_endpoint $gb_poll { poll yes; default no; }
    log_format gb '$status|$goosebit_tenant|$goosebit_device|'
        '$goosebit_endpoint|$goosebit_cache_status|$goosebit_reason|$gb_poll';
    limit_req_status 429;
HTTP
    access_log logs/gb.log gb;
    location /fleet/ { goosebit; limit_req zone=poll; }
    location /shut/ { goosebit; deny all; }
    location = /plain { return 200 "<$goosebit_tenant$goosebit_endpoint>"; }
SERVER

sub logged { ((slurp($s->dir . '/logs/gb.log') // '') =~ /^(.*)\n\z/m)[0] // '' }

for (['/fleet' . ddi('d'), 200, qr/^200\|DEFAULT\|d\|poll\|BYPASS\|\w+\|yes$/],
    ['/fleet' . ddi('d'), 429,
        qr/^429\|DEFAULT\|d\|poll\|BYPASS\|quota_exceeded\|yes$/],
    ['/fleet' . ddi('e/f'), 200, qr{^200\|DEFAULT\|e/f\|poll\|}],
    ['/fleet' . ddi('e/f'), 429, qr{^429\|DEFAULT\|e/f\|poll\|}],
    ['/shut' . ddi('d', 'installedBase/11'), 403,
        qr/^403\|DEFAULT\|d\|installedBase\|-\|forbidden\|no$/],
    ['/plain', 200, qr/^200\|-\|-\|-\|-\|-\|no$/])
{
    my ($path, $status, $log) = @$_;
    is($s->get($path)->{status}, $status, "$path: $status");
    ok(wait_for(sub { logged() =~ $log }), 'as the log says')
        or diag(logged());
}

is($s->get('/plain')->{body}, '<>', 'elsewhere they are empty');

done_testing;
