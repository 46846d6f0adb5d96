#!/usr/bin/perl
# gbctl device: list, show, add, token, delete; formats, errors, rights.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Fleet;

use Digest::SHA qw(sha256_hex);
use JSON::PP;

my $s = stack(fsync => 'off', yaml => "poll_time: 00:05:00\n");
my $f = Goosebit::Fleet->new($s);

sub gbctl { $s->gbctl(map({ ref ? $_ : () } @_), 'device',
    grep { !ref } @_) }
sub json { gbctl(@_, '-o', 'json')->{json} }
sub names { [split /\n/, gbctl('list', @_, '-o', 'name')->{out}] }
sub error { decode_json(gbctl(@_, '-o', 'json')->{err})->{error} }


# an empty list says so, in words only where a human reads

my $r = gbctl('list');
is($r->{exit}, 0, 'empty list: exit 0');
is("$r->{out}|$r->{err}", "|no devices\n", 'empty list: says so on stderr');
is_deeply(json('list'), [], 'empty list as JSON');
is(gbctl('list', '-o', $_)->{out}, '', "empty list as $_") for qw(jsonl name);


# list: fields, types, and each order

my $one = $f->software('1.10.0', 'board:r1');
my $two = $f->software('2.0.0', 'board:r1');
$f->software('1.9.0', 'other:r1');
$s->gbctl('rollout', 'create', '--software', $two);
$f->register('b', sw_version => '1.10.0', region => 'eu');
$f->register('a', sw_version => '1.9.0');
$f->register('c', sw_version => '2.0.0');
$f->poll('new');
gbctl('set', 'a', '--name', 'Zoe', '--tag', '+lab', '--tag', '+x');
my $action = $f->fetch('b');
$f->report('b', $action, 'proceeding', 'none', 'Downloaded 40%');
ok($s->seen, 'all polls are written down');

my $list = json('list');
is_deeply([map { $_->{id} } @$list], ['a', 'b', 'c', 'new'], 'list: by id');
my %b = %{$list->[1]};
like(delete $b{last_seen}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
    'list: last_seen');
is_deeply(\%b, { id => 'b', name => undef, hw_model => 'board',
    hw_revision => 'r1', sw_version => '1.10.0', feed => 'default',
    mode => 'rollout', state => 'running', progress => 40,
    target_version => '2.0.0', online => JSON::PP::true }, 'list: fields');
is_deeply([@{$list->[3]}{qw(sw_version target_version progress state)}],
    [undef, undef, undef, 'unknown'], 'list: what is not known is null');

my %order = (
    id => 'a b c new', name => 'a b c new', hw_model => 'a b c new',
    sw_version => 'a b c new', mode => 'a b c new', feed => 'a b c new',
    state => 'a c b new', progress => 'b a c new',
    target_version => 'a b c new', hw_revision => 'new a b c',
);
for my $field (sort keys %order) {
    is("@{names('--sort', $field)}", $order{$field}, "list --sort $field");
}
is("@{names('--sort', '-id')}", 'new c b a', 'list --sort -id');
is("@{names('--sort', '-sw_version')}", 'c b a new',
    'list --sort -sw_version: versions, not text; none stays last');
is("@{names('--sort', '-progress', '--limit', '1')}", 'b',
    'list --sort -progress --limit 1');
$s->sql("UPDATE goosebit.device_seen SET seen_at = now() - CASE device_id "
    . "WHEN (SELECT id FROM goosebit.device WHERE controller_id = 'c') "
    . "THEN interval '1 hour' ELSE device_id * interval '1 second' END");
$s->sql("INSERT INTO goosebit.device (tenant_id, controller_id) "
    . "SELECT id, 'unseen' FROM goosebit.tenant");
is("@{names('--sort', 'last_seen')}", 'c new a b unseen',
    'list --sort last_seen');
is("@{names('--sort', '-last_seen', '--limit', '2')}", 'b a',
    'list --sort -last_seen --limit');
is("@{names('--sort', 'online')}", 'a b new c unseen',
    'list --sort online');
gbctl('delete', '-y', 'unseen');
is("@{names('--limit', '2')}", 'a b', 'list --limit');
is("@{names('--limit', '2', '--sort', '-id')}", 'new c', 'and from the end');
is("@{names('--limit', '0')}", '', 'list --limit 0');
is_deeply([map { $_->{target_version} } @{json('list', '--limit', '3')}],
    [('2.0.0') x 3], 'a short list has targets, too');

# the target of the list is that of decide(), for every kind of device

for my $n (1 .. 12) {
    my $id = "kind$n";
    $f->register($id, hw_model => $n % 3 ? 'board' : 'other',
        hw_revision => $n % 5 ? 'r1' : 'r2');
    gbctl('set', $id, '--feed', 'x') if $n % 4 == 1;
    gbctl('set', $id, '--mode', 'latest') if $n % 4 == 2;
    gbctl('pin', $id) if $n % 4 == 3;
}
gbctl('assign', 'kind4', $one);
gbctl('assign', 'kind8', $two);
my %shown = map { $_->{id} => $_->{target_version} } @{json('list')};
my %short = map { $_->{id} => $_->{target_version} }
    @{json('list', '--limit', '500')};
is_deeply(\%shown, { map { $_ => json('show', $_)->{target_version} }
    keys %shown }, 'list and show agree on every target');
is_deeply(\%short, \%shown, 'so does a short list');
is_deeply([sort { $a cmp $b } do { my %v; grep { !$v{$_}++ }
    map { $_ // '-' } values %shown }], ['-', '1.10.0', '1.9.0', '2.0.0'],
    'and there are several');


# formats

like(gbctl('list', '--limit', '1')->{out},
    qr/\AID +MODEL +.*\na +board +r1 +1\.9\.0 +2\.0\.0 +default +rollout /,
    'table');
like(gbctl('list', '-o', 'wide')->{out}, qr/^a +Zoe +board/m, 'wide');
is(scalar(() = gbctl('list', '-o', 'jsonl')->{out} =~ /^\{.*\}$/mg),
    scalar @{json('list')}, 'jsonl: an object a line');
like(gbctl('list', '--limit', '1', '-o', 'csv')->{out},
    qr/\Aid,name,hw_model,hw_revision,sw_version,feed,mode,state,progress,
       target_version,last_seen,online\r\na,Zoe,/x, 'csv');
for my $width (80, 120) {
    unlike(gbctl({ pty => $width }, 'list', '--no-color')->{out},
        qr/^.{@{[$width + 1]}}/m, "the table fits $width columns");
}


# show

my $show = json('show', 'b');
is_deeply([sort keys %$show], [sort qw(id name hw_model hw_revision
    sw_version feed mode state progress target_version last_seen online
    reason last_ip attributes tags assigned_software assigned_version
    assigned_window force_update auto_confirm poll_time auth blocked open_action
    installed_action poll_links registered created)], 'show: fields');
is($show->{reason}, 'running', 'show: reason');
is($show->{attributes}{region}, 'eu', 'show: attributes');
is($show->{poll_time}, '00:05:00', 'show: poll time of the configuration');
is($show->{last_ip}, '127.0.0.1', 'show: last_ip');
is($show->{auth}, 'none', 'show: no token');
is_deeply($show->{poll_links}, ['deploymentBase'], 'show: poll links');
is($show->{open_action}{id}, $action, 'show: open action');
is($show->{open_action}{state}, 'running', 'show: its state');
is_deeply(json('show', 'a')->{tags}, ['lab', 'x'], 'show: tags');
is_deeply(json('show', 'new')->{poll_links}, ['configData'],
    'show: a new device is asked for configData');
like(gbctl('show', 'b')->{out}, qr/^poll links +deploymentBase$/m,
    'show: as a table');
$f->report('b', $action, 'closed', 'success');
is_deeply(json('show', 'b')->{poll_links}, ['installedBase'],
    'show: installedBase afterwards');
is(json('show', 'b')->{progress}, 100, 'show: done');


# add and token

$r = gbctl('add', 'n1', '--name', 'One', '--feed', 'prod', '--mode',
    'latest', '--tag', 'b', '--tag', 'a', '--new-token', '-o', 'json');
is($r->{exit}, 0, 'add: exit 0');
my $token = $r->{json}{token};
like($token, qr/^[0-9a-f]{32}$/, 'add --new-token: prints it');
is_deeply({ %{$r->{json}}, token => '' }, { id => 'n1', name => 'One',
    feed => 'prod', mode => 'latest', tags => ['a', 'b'], auth => 'token',
    token => '' }, 'add: as JSON');
is(json('show', 'n1')->{auth}, 'token', 'add: it has a token');
sub digest { $s->value('SELECT encode(token, \'hex\') FROM goosebit.device '
    . "WHERE controller_id = '$_[0]'") }
is(digest('n1'), sha256_hex($token), 'kept as its SHA-256');
unlike(join('', map { gbctl('show', 'n1', '-o', $_)->{out} } qw(json table))
    . $s->value('SELECT string_agg(audit::text, \'\') FROM goosebit.audit'),
    qr/\Q$token\E|\Q@{[sha256_hex($token)]}\E/, 'and never shown again');

is(error('add', 'n1')->{code}, 'conflict', 'add twice: conflict');
is(gbctl('add', 'n1')->{exit}, 1, 'add twice: exit 1');
is(gbctl({ stdin => "s3cret\n" }, 'add', 'n2', '--token', '-')->{exit}, 0,
    'add --token -');
is(digest('n2'), sha256_hex('s3cret'), 'reads it from stdin');
is(gbctl('add', 'n3', '--token', 'abc')->{exit}, 0, 'add --token T');
is(digest('n3'), sha256_hex('abc'), 'takes it from there');
$r = gbctl('add', 'n4', '--new-token', '--dry-run', '-o', 'json');
is($r->{exit}, 0, 'add --dry-run: exit 0');
is($r->{json}{token}, undef, 'add --dry-run: no token that is not kept');
is(gbctl('show', 'n4')->{exit}, 1, 'add --dry-run: adds nothing');
for (["a\x01b", 'control'], ["a\xc2\x9bb", 'control'], ['x' x 256, 'bytes'])
{
    $r = gbctl('add', $_->[0]);
    is($r->{exit}, 1, 'add: an id that no device can have');
    like($r->{err}, qr/\Agbctl: device id: .*$_->[1]/, 'says why');
}
is(gbctl('add', 'x' x 255)->{exit}, 0, 'an id of 255 bytes');

$token = gbctl('token', 'n3', '--new', '-o', 'name')->{out} =~ s/\n//r;
is(digest('n3'), sha256_hex($token), 'token --new');
is(gbctl({ stdin => "other\r\n" }, 'token', 'n3', '--set', '-')->{exit}, 0,
    'token --set -');
is(digest('n3'), sha256_hex('other'), 'token --set - is stored');
is(gbctl('token', 'n3', '--clear', '--dry-run')->{exit}, 0, 'a dry run');
is(digest('n3'), sha256_hex('other'), 'changes nothing');
is(gbctl('token', 'n3', '--clear')->{exit}, 0, 'token --clear');
is(json('show', 'n3')->{auth}, 'none', 'has none any more');
is_deeply(json('token', 'n3', '--clear'), { id => 'n3', auth => 'none' },
    'token --clear again: a document all the same');
is(gbctl('token', 'nobody', '--clear')->{exit}, 1, 'token of nobody');
is(gbctl({ stdin => $_ }, 'token', 'n3', '--set', '-')->{exit}, 1,
    'a token that no header can carry') for '', "a b\n", "\n", 'x' x 300;


# lines are as long as they look, not as their bytes

$s->gbctl('device', 'set', 'n3', '--name', join ' ', ("\xc3\xa4" x 10) x 6);
like(gbctl({ pty => 60 }, 'show', 'n3')->{out},
    qr/^name +(?:\xc3\xa4){10}(?: (?:\xc3\xa4){10}){2}\r?$/m,
    'three words of ten fit 60 columns');


# delete

$s->sql(<<'SQL');
CREATE SEQUENCE public.deletes;
CREATE FUNCTION public.counts() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER AS
    $$ BEGIN PERFORM nextval('public.deletes'); RETURN OLD; END $$;
CREATE TRIGGER counts BEFORE DELETE ON goosebit.device
    FOR EACH ROW EXECUTE FUNCTION public.counts();
SQL
is(gbctl('delete', 'n1')->{exit}, 1, 'delete without --yes: exit 1');
is($s->value('SELECT is_called FROM public.deletes'), 'f',
    'delete: none was deleted and taken back only to ask');
$s->sql('DROP FUNCTION public.counts() CASCADE');
like(error('delete', 'n1', 'n2')->{message}, qr/delete 2 devices/,
    'and the question');
is(error('delete', 'n1', 'nobody')->{code}, 'not_found',
    'delete: no question that would come to nothing');
is(gbctl('delete', 'n1', '--dry-run', '-o', 'name')->{out}, "n1\n",
    'delete --dry-run');
ok(json('show', 'n1'), 'is still there');
is(error('delete', '-y', 'n1', 'nobody')->{code}, 'not_found',
    'one that is not there');
ok(json('show', 'n1'), 'deletes none');
is(gbctl({ pty => 80, stdin => "n\n" }, 'delete', 'n1')->{exit}, 1,
    'delete asks on a terminal; no: exit 1');
ok(json('show', 'n1'), 'no: is still there');
$r = gbctl({ pty => 80, stdin => "y\n" }, 'delete', 'n3');
like($r->{out}, qr/delete device "n3" and its history\? \[y\/N\]/, 'asks');
is($r->{exit}, 0, 'yes: exit 0');
is(gbctl('show', 'n3')->{exit}, 1, 'yes: is gone');
is(gbctl('delete', '-y', 'b', 'n1', '-o', 'name')->{out}, "b\nn1\n",
    'delete --yes');
is(gbctl('show', 'b')->{exit}, 1, 'is gone');
is($s->value('SELECT count(*) FROM goosebit.action_status') + $s->value(
    'SELECT count(*) FROM goosebit.action a WHERE NOT EXISTS (SELECT FROM '
    . 'goosebit.device d WHERE d.id = a.device_id)'), 0,
    'with its history');


# what can't be

is_deeply(error('show', 'nobody'), { code => 'not_found',
    message => 'device "nobody": not found' }, 'error as JSON');
$r = gbctl('show', "a\e[31m\xc2\x9b");
is($r->{err}, qq{gbctl: device "a?[31m??": not found\n},
    'an id with control characters is shown safely');
for (['list', '--sort', 'sate'], ['list', '--limit', '-1'], ['list', 'x'],
    ['show'], ['show', 'a', 'b'], ['list', '--filter', 'fed=x'],
    ['add', 'q', '--mode', 'x'], ['add', 'q', '--token', 'a', '--new-token'],
    ['token', 'a'], ['token', 'a', '--new', '--clear'],
    ['token', 'a', '--set', 'T'], ['confirm'], ['deny'],
    ['autoconfirm', 'a'], ['autoconfirm', 'a', 'yes'])
{
    $r = gbctl(@$_);
    is($r->{exit}, 2, "@$_: exit 2");
    is($r->{out}, '', "@$_: nothing on stdout");
    like($r->{err}, qr/\Agbctl: [^\n]+\n(?:hint: [^\n]+\n)?\z/,
        "@$_: one line");
}
like(gbctl('list', '--sort', 'zzz')->{err},
    qr/no column "zzz": id, name, hw_model, .*, online$/m,
    'list --sort: or lists all that there are');
like(gbctl('list', '--sort', 'sate')->{err}, qr/did you mean "state"/,
    'a near miss');
is(gbctl('list', '-t', 'NOBODY')->{exit}, 1, 'no such tenant: exit 1');
is(gbctl({ env => { GOOSEBIT_DB_URI =>
    'postgresql:///none?host=/nowhere' } }, 'list')->{exit}, 3,
    'no database: exit 3');


# rights are PostgreSQL's

$s->sql('CREATE ROLE eve LOGIN IN ROLE goosebit_viewer');
my $eve = { env => { PGUSER => 'eve' } };
is(gbctl($eve, 'list', '-o', 'name')->{exit}, 0, 'a viewer may list');
is(gbctl($eve, @$_)->{exit}, 0, "a viewer may $_->[0]")
    for ['show', 'a'], ['log', 'a'], ['history', 'a'], ['explain', 'a'];
for (['set', 'a', '--feed', 'x'], ['assign', 'a', $two], ['pin', 'a'],
    ['unpin', 'a'], ['force', 'a'], ['unforce', 'a'], ['cancel', 'a'],
    ['delete', '-y', 'a'], ['block', 'a'], ['unblock', 'a'], ['add', 'q'],
    ['token', 'a', '--clear'], ['set', 'a', '--feed', 'x', '--dry-run'])
{
    is(gbctl($eve, @$_)->{exit}, 4, "a viewer may not $_->[0]: exit 4");
}
is(json('show', 'a')->{feed}, 'default', 'and nothing changed');
$s->sql('CREATE ROLE olga LOGIN IN ROLE goosebit_operator');
is(gbctl({ env => { PGUSER => 'olga' } }, 'set', 'a', '--feed', 'x')->{exit},
    0, 'an operator may');
is($s->value("SELECT who FROM goosebit.audit WHERE verb = 'device.set' "
    . 'ORDER BY id DESC LIMIT 1'), 'olga', 'and is named in the audit');

done_testing;
