#!/usr/bin/perl
# The zone and external authentication: what SQL said to one whom the outside
# service had let in is kept for nobody whom that has not let in, too.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::AuthServer;
use Goosebit::Fleet;
use Goosebit::Test;

use Time::HiRes qw(sleep time);

my $auth = Goosebit::AuthServer->new;
my $s = stack(workers => 1, fsync => 'off',
    yaml => "device_auth:\n  enable: true\n  mode: external\n"
        . "  external_url: \"@{[$auth->url]}\"\n",
    http => 'goosebit_cache zone=fleet:1m; goosebit_auth_cache 1h;
        goosebit_auth_timeout 60s;',
    server => 'add_header X-Cache $goosebit_cache_status always;
        location = /auth { internal; proxy_pass ' . $auth->url('/sub') . ';
            proxy_set_header X-Token $goosebit_token; }
        location /sub/ { goosebit; goosebit_auth_request /auth; }
        location /short/ { goosebit; goosebit_auth_cache 1s;
            goosebit_auth_timeout 2s; }
        location /sub-short/ { goosebit; goosebit_auth_request /auth;
            goosebit_auth_cache 1s; goosebit_auth_timeout 2s; }
        location /never/ { goosebit; goosebit_auth_cache 0; }
        location /sub-never/ { goosebit; goosebit_auth_request /auth;
            goosebit_auth_cache 0; }');
my $f = Goosebit::Fleet->new($s);
$f->software('1.0', 'board:r1');

sub known {
    my ($id) = @_;
    $s->sql("insert into goosebit.device (tenant_id, controller_id, hw_model,
        hw_revision, state, config_data_at)
        values (1, '$id', 'board', 'r1', 'registered', now())");
}

# The answer's status, how the zone had part in it, and how often the service
# was asked for that.
sub ask {
    my ($path, $id) = @_;
    my $r = $s->get($path, headers => [Authorization => "TargetToken yes-$id"]);
    return join ' ', $r->{status}, $r->{headers}{'x-cache'} // '',
        scalar(() = $auth->asked);
}

# The path of the file of an action that it is offered.
sub offer {
    my ($where, $id) = @_;
    my @auth = (headers => [Authorization => "TargetToken yes-offer-$id"]);
    my $path;
    is($s->gbctl(qw(device assign), $id, '1.0')->{exit}, 0, 'assigned');
    wait_for(sub {
        my ($url) = $s->get($where . ddi($id), @auth)->{body}
            =~ m{http://[^/]*(/[^"]*deploymentBase[^"]*)} or return 0;
        ($path) = $s->get($url, @auth)->{body}
            =~ m{"download-http":\{"href":"http://[^/]*([^"]*\.swu)"};
        return defined $path;
    }) or die "nothing for $id\n";
    # What the journal says of that must not end what is kept from here on.
    $s->synced or die "the journal is not read\n";
    return $path;
}


# Asks twice: asked the second time after so many seconds, for that answer.
sub twice {
    my ($path, $id, $seconds, $want, $name) = @_;
    $auth->asked;
    is(ask($path, $id), '200 MISS 1', "$path: asks the service");
    sleep $seconds;
    is(ask($path, $id), $want, $name);
}


for (['', 0, '200 HIT 0', 'and both are remembered'],
    ['/sub', 0, '200 HIT 0', 'and both are remembered'],
    ['/short', 1.1, '200 MISS 1', 'until the yes is too old'],
    ['/sub-short', 1.1, '200 MISS 1', 'until the yes is too old'])
{
    my ($where, @how) = @$_;
    my ($id, $file) = map { $_ . $where =~ tr{/}{-}r } 'poll', 'file';
    known($_) for $id, $file;
    twice($where . ddi($id), $id, @how);
    twice(offer($where, $file), $file, @how);
}

for my $where ('/never', '/sub-never') {
    my $id = $where =~ tr{/}{}dr;
    known($id);
    is(ask($where . ddi($id), $id), '200 MISS 1', "$where: asks for $_")
        for 'one poll', 'another';
    my $path = offer($where, $id);
    $auth->asked;
    is(ask($path, $id), '200 MISS 1', "and for $_") for 'a file', 'it again';
}

# Those who ask the same at a time have one answer, also where it is a no.
known('shared');
for my $where ('/short', '/sub-short') {
    for (['yes-s', 200], ['no', 401], ['500', 503], ['slow-30', 503]) {
        my ($token, $status) = @$_;
        my $start = time;
        my @h = map { $s->http } 1 .. 12;
        $_->send_request('GET', $where . ddi('shared'),
            headers => [Authorization => "TargetToken $token"]) for @h;
        is(join(' ', map { $_->response('GET')->{status} } @h),
            join(' ', ($status) x 12), "$where $token: all have it");
        # goosebit_auth_timeout 2s: 24 s, were they asked for in turn
        cmp_ok(time - $start, '<', 20, 'nobody after the others');
    }
}

done_testing;
