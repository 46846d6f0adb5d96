# Remote software: gbctl reads it once, devices get its URL as their link, and a
# redirect where they ask here. What logs in there is shown to nobody.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

use Digest::MD5 qw(md5_hex);

my $s = stack(fsync => 'off', workers => 1,
    yaml => "device_auth:\n  enable: true\n  mode: setup\n",
    server => 'location /files/ { alias @DIR@/tmp/; }');
my $file = $s->dir . '/tmp/remote.swu';
system('t/lib/fixtures/make-swu', '-o', $file, '-V', '3.0.0', '-H', 'board:1')
    == 0 or die "make-swu failed\n";
my $at = '127.0.0.1:' . $s->port . '/files/remote.swu';

my $r = $s->gbctl(qw(software add --url), "http://us:pa%24s\@$at");
is($r->{exit}, 0, 'added by its URL') or diag $r->{err};
ok(!glob($s->artifacts . '/*/*/*'), 'which stores no bytes');
Goosebit::Device::rollout($s, '3.0.0');

sub empty {
    my ($got, $status, $name) = @_;
    is("$got->{status} $got->{headers}{'content-length'}, "
        . length $got->{body}, "$status 0, 0", $name);
}

my $d = Goosebit::Device->new($s, 'dev', token => 'T0ken');
my @token = (headers => [Authorization => 'TargetToken T0ken']);
$d->register;
my $document = $d->get('deploymentBase', $d->action);
my $artifact = $document->{json}{deployment}{chunks}[0]{artifacts}[0];
my $links = $artifact->{_links};
is($artifact->{size}, -s $file, 'the size');
is($artifact->{hashes}{md5}, md5_hex(slurp($file)), 'and digests');
is($links->{download}{href}, "http://$at", 'the device gets that URL');
is($links->{'download-http'}{href}, "http://$at", 'twice');

my ($md5) = $links->{'md5sum-http'}{href} =~ m{^http://[^/]+(/.*)};
my $url = $md5 =~ s/\.MD5SUM$//r;
is($s->get($md5, @token)->{body}, md5_hex(slurp($file)) . "  remote.swu\n",
    'MD5SUM is here');
is($s->get($url =~ s{/[^/]+$}{}r, @token)->{json}[0]{_links}{download}{href},
    "http://$at", 'and the list');

for my $method (qw(GET HEAD)) {
    for my $more ('', '/', '?a=b') {
        $r = $s->request($method, "$url$more", @token);
        empty($r, 302, "$method of the artifact itself$more");
        is($r->{headers}{location}, "http://$at", 'leads there');
    }
}
is($s->get('/status')->{json}{requests}{artifact}{302}, 6, 'and is counted');
empty($s->get($url), 401, 'not without credentials');
$s->get("/DEFAULT/controller/v1/other", headers => [Authorization =>
    'TargetToken Other']);
empty($s->get($url =~ s{/dev/}{/other/}r, headers => [Authorization =>
    'TargetToken Other']), 404, 'nor for others');
empty($s->post($url, @token), 405, 'nor by POST');

my $told = join '', map { $_->{raw} // $_->{out} . $_->{err} } $document, $r,
    map { $s->gbctl('software', @$_) } ['list', '-o', 'json'], ['show', 1],
    ['list', '-o', 'wide'], ['verify', 1];
like($told, qr/remote\.swu/, 'what is told of it');
unlike($told . $s->error_log . $s->access_log . $s->pg_log, qr/pa(?:%24|\$)s/,
    'has no password');

done_testing;
