use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Upstream;

use Encode ();
use JSON::PP;

# gooseBit servers of PyPI, driven by their HTTP and then imported: afterwards
# the same devices poll here with their tokens and get the same answers. Each
# version once, on SQLite or PostgreSQL in turn; GB_GOOSEBIT=all takes all four
# on both, and GB_GOOSEBIT=0.2.11 that one.

my @all = qw(0.2.9 0.2.10 0.2.11 0.2.12);
my $which = $ENV{GB_GOOSEBIT} // '';
my @both = map { ([$_, 'sqlite'], [$_, 'postgres']) } @all;
my @runs = $which eq '' ? @both[0, 3, 4, 7]
    : $which eq 'all' ? @both : grep { $_->[0] eq $which } @both;

my $images = tempdir();
my %file = (
    one => ['make-swu', '-V', '1.1.0', '-H', 'board:rev1'],
    two => ['make-swu', '-V', '1.2.0', '-H', 'board:rev1,rev2', '-s', 9000],
    bundle => ['make-raucb', '-V', '3.0.0', '-C', 'gate-rev4.2'],
    lost => ['make-swu', '-V', '5.0.0', '-H', 'lost:rev1'],
    remote => ['make-swu', '-V', '6.0.0', '-H', 'far:rev1'],
);

for my $name (sort keys %file) {
    my ($make, @args) = @{$file{$name}};
    $file{$name} = "$images/$name file." . ($make eq 'make-swu' ? 'swu'
        : 'raucb');
    system("t/lib/fixtures/$make", '-o', $file{$name}, @args) == 0
        or die "$make failed\n";
}


# One request of a device with its token.
sub device {
    my ($server, $id, $method, $path, $json, $token) = @_;
    $token //= 'token-of-' . $id =~ s/\W//gr;
    my $r = $server->http->request($method, $path, close => 1,
        headers => [Authorization => "TargetToken $token"],
        $json ? (json => $json) : ());
    die "$id $method $path: $r->{status}\n" if $r->{status} !~ /^(?:200|401)$/;
    return $r;
}


# What a poll comes to: the sleep, the links, and the deployment's heart.
# The chunk's version is "1" with gooseBit up to 0.2.11.
sub answer {
    my ($server, $id) = @_;
    my $poll = device($server, $id, 'GET', ddi($id))->{json};
    my %links = %{$poll->{_links}};
    my %answer = (sleep => $poll->{config}{polling}{sleep},
        links => join ' ', sort keys %links);

    if ($links{deploymentBase}) {
        my ($path) = $links{deploymentBase}{href} =~ m{^http://[^/]+(/.*)};
        my $doc = device($server, $id, 'GET', $path)->{json}{deployment};
        my $chunk = $doc->{chunks}[0];
        my $artifact = $chunk->{artifacts}[0];
        %answer = (%answer, update => $doc->{update},
            ($chunk->{version} ne '1' ? (version => $chunk->{version}) : ()),
            size => $artifact->{size},
            sha1 => $artifact->{hashes}{sha1},
            filename => $artifact->{filename});
    }
    return \%answer;
}


sub config_data {
    my ($server, $id, $model, $revision, $version) = @_;
    device($server, $id, 'GET', ddi($id));
    device($server, $id, 'PUT', ddi($id, 'configData'), { mode => 'merge',
        data => { hw_boardname => $model, hw_revision => $revision,
            sw_version => $version } });
}


sub feedback {
    my ($server, $id, $action, $execution, $finished, @details) = @_;
    device($server, $id, 'POST', ddi($id, 'deploymentBase', $action,
        'feedback'), { id => $action, status => { execution => $execution,
        result => { finished => $finished }, details => \@details } });
}


# The fleet there: devices in every state and mode. Gives the software's ids.
sub fleet {
    my ($g, $url) = @_;
    my %id = map { ($_ => $g->software($_ eq 'remote' ? $url : $file{$_})) }
        sort keys %file;

    $g->rollout($id{one}, 'default', 'first');
    my $paused = $g->rollout($id{two}, 'default', 'second');
    $g->api('PATCH', 'rollouts', { ids => [$paused],
        paused => JSON::PP::true });
    $g->rollout($id{two}, 'prod', 'third');
    $g->rollout($id{bundle}, 'default', 'gates');
    $g->rollout($id{lost}, 'default', 'lost');
    $g->rollout($id{remote}, 'default', 'far');

    device($g, 'new', 'GET', ddi('new'));
    config_data($g, $_, 'board', 'rev1', '1.0.0') for qw(offered error forced
        running finished latest assigned pinned prod moved);
    config_data($g, 'current', 'board', 'rev1', '1.1.0');
    config_data($g, 'newer', 'board', 'rev1', '2.0.0');
    config_data($g, 'alien', 'unheard', 'of', '1.0.0');
    config_data($g, 'gate', 'gate-rev4.2', 'default', '2.0.0');
    config_data($g, 'far', 'far', 'rev1', '1.0.0');
    config_data($g, "odd \xc3\xa4", 'board', 'rev2', '1.0.0');

    my $set = sub {
        my ($ids, %what) = @_;
        $g->api('PATCH', 'devices', { devices => $ids, %what });
    };
    $set->(['latest'], software => 'latest');
    $set->(['assigned'], software => "$id{two}", name => 'By hand');
    $set->(['pinned'], pinned => JSON::PP::true);
    $set->(['prod'], feed => 'prod');

    for my $dev (qw(error forced running finished)) {
        feedback($g, $dev, $id{one}, 'proceeding', 'none', 'Begun',
            'Downloaded 42%');
    }
    feedback($g, $_, $id{one}, 'closed', 'failure', 'It broke')
        for qw(error forced);
    feedback($g, 'finished', $id{one}, 'closed', 'success', 'All is well');
    $set->(['forced'], force_update => JSON::PP::true);
    return %id;
}


my @devices = (qw(new offered error forced running finished latest assigned
    pinned prod moved current newer alien gate far), "odd \xc3\xa4");


for (@runs) {
    my ($version, $kind) = @$_;

    subtest "$version on $kind" => sub {
        # A loopback address of its own, as gooseBit takes no unix socket.
        my $address = sprintf '127.77.%d.%d', $$ >> 8 & 255, $$ & 255;
        my $s = stack(fsync => 'off', ($kind eq 'postgres'
            ? (pg => "listen_addresses = '$address'") : ()), yaml => <<'YAML', server =>
poll_time: 00:00:30
device_auth:
  enable: true
  mode: strict
YAML
            "location /www/ { alias $images/; }\n");
        my $uri;
        if ($kind eq 'postgres') {
            $s->sql('CREATE DATABASE upstream');
            $uri = "postgres://postgres:secret\@$address:5432/upstream";
        }
        my $g = Goosebit::Upstream->new($version, uri => $uri,
            auth => 'setup') // plan skip_all => 'no Python of 3.11';

        my $url = $s->url . '/www/remote%20file.swu';
        my %id = fleet($g, $url);
        my $tags = <<"SQL";
INSERT INTO tag (name) VALUES ('lab'), ('north');
INSERT INTO device_tags SELECT 'prod', id FROM tag;
SQL
        $uri ? $s->sql($tags, database => 'upstream') : $g->sqlite($tags);

        my %before = map { ($_ => answer($g, $_)) } @devices;
        my $polled = time;
        is($before{offered}{filename}, 'one file.swu',
            'gooseBit passes over the paused rollout');
        is($before{newer}{filename}, 'one file.swu', 'and downgrades');
        is($before{error}{links}, '', 'an error holds');

        # Not found any more: one image; elsewhere: the others.
        my ($lost) = glob $g->dir . '/artifacts/*/lost*';
        unlink $lost;
        my @where;
        if ($uri) {
            rename $g->dir . '/artifacts', $g->dir . '/moved' or die $!;
            @where = ('--artifacts', $g->dir . '/moved');
        }
        my @import = ('import', 'goosebit', $g->uri, @where);

        # A dry run first.
        my $r = $s->gbctl(@import, '--dry-run', '-o', 'json');
        is($r->{exit}, 0, 'dry run: exit 0') or diag($r->{err});
        is_deeply([map { Encode::encode_utf8($_->{id}) }
            grep { $_->{kind} eq 'device' } @{$r->{json}}], [sort @devices],
            'dry run: names every device');
        is($s->value('SELECT count(*) FROM goosebit.device'), 0,
            'dry run: changes nothing');

        $r = $s->gbctl(@import, '-o', 'json');
        is($r->{exit}, 0, 'imported') or diag($r->{err});
        is_deeply($r->{json}, [
            { kind => 'software', added => 4, updated => 0, kept => 0,
                refused => 1 },
            { kind => 'rollout', added => 5, updated => 0, kept => 0,
                refused => 1 },
            { kind => 'device', added => scalar @devices, updated => 0,
                kept => 0, refused => 0 }], 'says what it took');
        my @said = split /\n/, $r->{err};
        is(scalar @said, 5, 'and what it did not, a line each')
            or diag($r->{err});
        like($r->{err}, qr/^software $id{lost}: .*lost/m, 'the lost image');
        like($r->{err}, qr/^rollout \d+: its software $id{lost} was not/m,
            'its rollout');
        like($r->{err}, qr/^rollout \d+: is paused: older/m,
            'a paused rollout that gooseBit passes over');
        like($r->{err}, qr/^rollouts: .*counts/m, 'counts');
        like($r->{err}, qr/^user admin\@example\.com: /m, 'users');

        # What is known of the devices.
        my %dev = map { ($_->{id} => $_) }
            @{$s->gbctl(qw(device list -o json))->{json}};
        my %state = map { ($_ => $dev{$_}{state}) } keys %dev;
        is_deeply([@state{qw(new offered running error finished)}],
            [qw(unknown registered running error finished)], 'states');
        is_deeply([map { $dev{$_}{mode} } qw(offered latest assigned pinned)],
            [qw(rollout latest assigned pinned)], 'modes');
        is($dev{assigned}{name}, 'By hand', 'name');
        is($dev{prod}{feed}, 'prod', 'feed');
        is($dev{running}{progress}, 42, 'progress');
        like($dev{offered}{last_seen}, qr/^20/, 'last seen');
        is($dev{finished}{sw_version}, '1.1.0', 'version');
        my $prod = $s->gbctl(qw(device show prod -o json))->{json};
        is_deeply($prod->{tags}, [qw(lab north)], 'tags');
        is($prod->{last_ip}, '127.0.0.1', 'address');
        like($s->gbctl(qw(device log error))->{out},
            qr/Begun.*Downloaded 42%.*It broke/s, 'log of an error');
        like($s->gbctl(qw(device log finished))->{out}, qr/All is well/,
            'log of a success');
        is($s->value('SELECT count(*) FROM goosebit.device
            WHERE token = sha256(convert_to($$token-of-$$ || regexp_replace(
            controller_id, $$[^a-z]$$, $$$$, $$g$$), $$UTF8$$))'), scalar @devices, 'tokens, as digests');
        is($s->gbctl(qw(software show 6.0.0 -o json))->{json}{uri}, $url,
            'a remote image stays remote');
        my ($first) = grep { $_->{name} eq 'first' }
            @{$s->gbctl(qw(rollout list -o json))->{json}};
        is("$first->{success} $first->{failure} $first->{running}",
            '2 2 1', 'counts of a rollout, from devices');

        # Once more: nothing new. Then something.
        is_deeply([map { @$_{qw(added updated)} }
            @{$s->gbctl('-q', @import, '-o', 'json')->{json}}], [(0) x 6],
            'again: nothing to do');
        # gooseBit knows in whole seconds when it saw a device.
        sleep 0.05 while time < $polled + 1;
        feedback($g, 'moved', $id{one}, 'closed', 'success', 'Done there');
        is_deeply([map { @$_{qw(added updated)} }
            @{$s->gbctl('-q', @import, '-o', 'json')->{json}}],
            [0, 0, 0, 0, 0, 1], 'what has happened there is fetched');
        is($s->gbctl(qw(device show moved -o json))->{json}{sw_version},
            '1.1.0', 'a version');
        $before{moved} = answer($g, 'moved');

        $g->stop;
        my $stopped = time;

        # The same devices here.
        for my $id (@devices) {
            my $answer = answer($s, $id);
            delete $answer->{version} if !exists $before{$id}{version};
            is_deeply($answer, $before{$id}, "$id: the same answer")
                or diag(explain($answer, $before{$id}));
        }
        is(device($s, 'prod', 'GET', ddi('prod'), undef, 'wrong')->{status},
            401, 'a wrong token is refused');

        # They go on.
        my $links = device($s, 'running', 'GET', ddi('running'))->{json};
        my ($action) = $links->{_links}{deploymentBase}{href}
            =~ m{deploymentBase/(\d+)};
        feedback($s, 'running', $action, 'closed', 'success', 'Rebooted');
        is($s->gbctl(qw(device show running -o json))->{json}{sw_version},
            '1.1.0', 'an update that was running ends here');

        # An import after that leaves alone what has moved here.
        ok(wait_for(sub { $s->value('SELECT count(*) FROM goosebit.device_seen
            WHERE seen_at > to_timestamp(' . $stopped . ')') == @devices }),
            'all were seen here');
        is_deeply([map { $_->{updated} + $_->{added} }
            @{$s->gbctl('-q', @import, '-o', 'json')->{json}}], [0, 0, 0],
            'what has moved here stays');
        is($s->gbctl(qw(device show running -o json))->{json}{state},
            'finished', 'finished');
        $s->stop;
    };
}

done_testing;
