#!/usr/bin/perl
# The least nginx.conf that works: the module, the zone and two locations. The
# rest is what goosebit.yaml says, in which db_uri names no user.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $temp = join ' ', map { qq{${_}_temp_path "\@DIR\@/tmp/$_";} }
    qw(client_body proxy fastcgi uwsgi scgi);

# all but the first lines of http is config.md's, with a port of its own
my $s = stack(fsync => 'off', yaml => <<'YAML', conf => <<"CONF");
poll_time: 00:01:30
metrics: { prometheus: { enable: true } }
YAML
load_module "\@MODULE\@";
\@USER\@
\@ENV\@
pid "\@DIR\@/nginx.pid";
error_log "\@DIR\@/logs/error.log";
events {}
http {
    access_log off; $temp
    goosebit_config "\@DIR\@/goosebit.yaml";
    goosebit_cache  zone=fleet:128m;
    server {
        listen \@LISTEN\@:\@PORT\@;
        location / { goosebit; }
        location = /status  { goosebit_status; allow 127.0.0.1; deny all; }
    }
}
CONF

unlike(slurp($s->env->{GOOSEBIT_CONFIG}), qr/user|:\/\/[^\/]/, 'no user');
is($s->get(ddi('d'))->{status}, 200, 'a device is answered');
is($s->put(ddi('d', 'configData'), json => { data => {} })->{status}, 200,
    'and registers');
is_deeply($s->get(ddi('d'))->{json},
    { config => { polling => { sleep => '00:01:30' } }, _links => {} },
    'by goosebit.yaml');
is($s->value(q{SELECT string_agg(DISTINCT usename, ',') FROM pg_stat_activity
    WHERE application_name = 'goosebit'}), 'goosebit_ddi',
    'as the role that may call what devices need, and nothing else');
ok(wait_for(sub {
    $s->get(ddi('d'));
    $s->get('/status')->{json}{polls}{hit} }), 'the zone is in use');
like($s->get('/status?format=prometheus')->{body}, qr/^goosebit_polls_hit \d/m,
    'and counted');

done_testing;
