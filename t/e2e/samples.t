use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

# The samples of conf/ that README tells to install, with their paths changed
# and nothing else.

my $load = slurp('conf/nginx-module.conf');
my $site = slurp('conf/nginx-goosebit.conf');

sub swap {
    my ($text, $from, $to) = @_;
    ok(${$text} =~ s/\Q$from\E/$to/g, "sample names $from");
}

swap(\$load, 'modules/ngx_http_goosebit_module.so', '"@MODULE@"');
swap(\$site, '/etc/goosebit.yaml', '"@DIR@/goosebit.yaml"');
swap(\$site, 'host=/var/run/postgresql', 'host=@SOCKET@');
swap(\$site, 'listen 60053;', 'listen 127.0.0.1:@PORT@;');
swap(\$site, '/var/log/nginx/goosebit.log', '"@DIR@/logs/access.log"');

my $temp = join ' ', map { qq{${_}_temp_path "\@DIR\@/tmp/$_";} }
    qw(client_body proxy fastcgi uwsgi scgi);
my $s = stack(conf => <<"CONF");
$load
\@USER\@
\@ENV\@
pid "\@DIR\@/nginx.pid";
error_log "\@DIR\@/logs/error.log";
events { }
http {
    $temp
$site
}
CONF

is($s->get(ddi('a-device'))->{status}, 200, 'poll');
is($s->get('/status')->{status}, 200, 'status from the machine itself');
is($s->put(ddi('a-device', 'configData'), json => { data => {
    hw_model => 'board', hw_revision => '1', sw_version => '1.0' } })
    ->{status}, 200, 'configData');
ok(wait_for(sub { $s->access_log =~ m{200 configData DEFAULT/a-device } }),
    'the log names endpoint, tenant and device') or diag($s->access_log);

like(slurp('README.md'), qr/\Q$_\E/, "README names $_")
    for glob 'conf/*';

done_testing;
