# What SQL answers that it should not, and a database that is gone: 503, one
# line in the log, and the worker goes on.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;

my $s = stack(fsync => 'off', workers => 1);
my $v1 = '/DEFAULT/controller/v1';

my $five = 'text, text, text, bytea, text';
my %more = (
    poll => 'int, int',
    deployment_base => 'int, int',
    cancel_action => 'int',
    artifact => 'int, text',
    config_data => 'text, text[], text[], int',
);
my $who = 'status int, reason text, tenant_id int, device_id bigint,'
    . ' tenant text';

my $poll = "$who, next text, poll_seconds int, config_data bool, link text,"
    . ' action_id int, software_id int, installed_id int';

my $d = Goosebit::Device->new($s, 'dev');
$d->register;
my ($pid) = $s->workers;

# Puts a function in the place of one of goosebit_ddi's.
sub instead {
    my ($name, $columns, $body) = @_;
    my $args = "$five, $more{$name}";
    $s->value("set client_min_messages = error;
        drop function goosebit_ddi.$name; create function
        goosebit_ddi.$name($args) returns table ($columns)
        language plpgsql as \$\$ begin $body end \$\$;
        grant execute on function goosebit_ddi.$name to goosebit_ddi;
        select 1");
}

# What comes back is refused, with another line in the log that matches.
sub refused {
    my ($ask, $name, $log) = @_;
    my $lines = sub { scalar(() = $s->error_log =~ /$log/g) };
    my $before = $log ? $lines->() : 0;
    my $r = $ask->();
    is($r->{status}, 503, $name);
    cmp_ok($r->{headers}{'retry-after'} // 0, '>', 0, 'Retry-After');
    ok((wait_for { $lines->() > $before }), 'and a line in the log') if $log;
    return $r;
}

my $rows = qr/returned (?:no row|\d+ rows, status -?\d+)/;
my $lacks = qr/lacks columns or values/;

for (
    ['no row', $who, 'return;', $rows],
    ['two rows', $poll, "return query select 200, '', 1, 1::bigint, 'DEFAULT',
        null::text, 5, false, null::text, null::int, null::int, null::int
        from generate_series(1, 2);", $rows],
    ['no columns of ours', 'a int', 'return query select 1;', $rows],
    ['status is text', $who =~ s/status int/status text/r,
        "return query select '200', '', 1, 1::bigint, 'DEFAULT';", $rows],
    ['status NULL', $who, "return query select null::int, '', 1, 1::bigint,
        'DEFAULT';", $rows],
    ['status 201', $who, "return query select 201, '', 1, 1::bigint,
        'DEFAULT';", $rows],
    ['status 500', $who, "return query select 500, '', 1, 1::bigint,
        'DEFAULT';", $rows],
    ['status -1', $who, "return query select -1, '', 1, 1::bigint,
        'DEFAULT';", $rows],
    ['nothing after the first five', $who,
        "return query select 200, '', 1, 1::bigint, 'DEFAULT';", $lacks],
    ['a link without an action', $poll,
        "return query select 200, '', 1, 1::bigint, 'DEFAULT', null::text, 5,
            false, 'deploymentBase', null::int, null::int, null::int;",
        $lacks],
    ['an error', $who, "raise exception 'secret of the server';", undef],
    ['division by zero', $who, 'perform 1 / 0;', undef],
) {
    my ($name, $columns, $body, $log) = @$_;
    instead(poll => $columns, $body);
    $d->poll;                   # prepares the statement anew
    my $r = refused(sub { $d->poll }, "poll: $name", $log);
    unlike($r->{raw}, qr/secret|SQL|goosebit_ddi/, 'nothing of it to devices');
}

is($s->request('DELETE', "$v1/dev")->{status}, 405,
    'a refusal that can\'t ask stands');

instead(deployment_base => "$who, action_id int",
    "return query select 200, '', 1, 1::bigint, 'DEFAULT', 11;");
refused(sub { $d->get('deploymentBase/11') }, 'deploymentBase', $lacks);

instead(cancel_action => "$who, stop_id int",
    "return query select 200, '', 1, 1::bigint, 'DEFAULT', null::int;");
refused(sub { $d->get('cancelAction/11') }, 'cancelAction', $lacks);

instead(config_data => $who,
    "return query select 200, '', 1, 1::bigint, 'DEFAULT';");
refused(sub { $d->register }, 'configData', $lacks);

my $artifact = "$v1/dev/softwaremodules/1/artifacts/x.swu";
for (['no columns', $who, "200, '', 1, 1::bigint, 'DEFAULT'"],
    ['a bad digest', "$who, sha256 text, sha1 text, md5 text, size bigint,
        filename text, created bigint, uri text", "200, '', 1, 1::bigint,
        'DEFAULT', '../../x', 'a', 'b', 1::bigint, 'x.swu', 1::bigint,
        null::text"],
    ['a bad name', "$who, sha256 text, sha1 text, md5 text, size bigint,
        filename text, created bigint, uri text", "200, '', 1, 1::bigint,
        'DEFAULT', repeat('a', 64), 'a', 'b', 1::bigint, '../x',
        1::bigint, null::text"])
{
    my ($name, $columns, $row) = @$_;
    instead(artifact => $columns, "return query select $row;");
    my $r = refused(sub { $s->get($artifact) }, "artifact: $name", $lacks);
    is($r->{body}, '', 'an empty body');
}

# Tenant and reason in the row may be missing, ids as well.
instead(cancel_action => "$who, stop_id int",
    "return query select 200, null, null::int, null::bigint, null, 11;");
is($d->get('cancelAction/11')->{json}{cancelAction}{stopId}, '11',
    'what is not needed may be missing');

$s->pg('stop');
for (1 .. 3) {
    refused(sub { $d->poll }, 'no database: poll');
    refused(sub { $d->feedback(11, 'closed', 'success') }, 'feedback');
    my $r = refused(sub { $s->get($artifact) }, 'artifact');
    is($r->{body}, '', 'empty');
}
is($s->get("$v1/dev/x")->{status}, 404, 'a path is still wrong');
is($s->post("$v1/dev")->{status}, 405, 'and a method');
is($s->put("$v1/dev/configData", body => 'x')->{status}, 400, 'and a body');

is(join(' ', $s->workers), $pid, 'the worker is the same');

done_testing;
