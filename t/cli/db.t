#!/usr/bin/perl
# gbctl db init, migrate, status, and the look at the schema of every verb.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use JSON::PP;

my $s = stack(nginx => 0, init => 0, fsync => 'off', yaml => <<'YAML');
tenant: [DEFAULT, Werk-2]
YAML

my @files = map { m{([^/]+)$} } sort glob 'sql/migrations/*.sql';
my ($newest) = map { s/_.*//r + 0 } $files[-1];

sub status { $s->gbctl('db', 'status', '-o', 'json')->{json} }

sub code { decode_json($_[0]{err})->{error}{code} }

# What a migration or reload by another gbctl would leave behind.
sub record {
    my ($name, $sha) = @_;
    $s->sql("UPDATE goosebit.migration SET sha256 = '$sha'"
        . " WHERE name = '$name'");
}


# an empty database

is(status()->{state}, 'none', 'empty: status says none');
is(status()->{pending}, @files, 'empty: all is pending');

my $r = $s->gbctl('status');
is($r->{exit}, 3, 'empty: a verb exits 3');
like($r->{err}, qr/^gbctl: .*has not this version's schema\nhint: .*db init/,
    'empty: and says what to do');

$r = $s->gbctl('db', 'migrate', '-o', 'json');
is($r->{exit}, 3, 'empty: migrate refuses');
is(code($r), 'schema', 'empty: with its code');
is($s->value("SELECT count(*) FROM pg_namespace"
    . " WHERE nspname ~ '^goosebit'"), 0, 'empty: and changes nothing');


# init

$r = $s->gbctl('db', 'init', '-o', 'json');
is($r->{exit}, 0, 'init') or diag $r->{err};
is_deeply([map { "$_->{kind} $_->{name}" } @{$r->{json}}],
    [(map { "role goosebit_$_" } qw(admin ddi operator owner users viewer)),
        (map { "schema $_" } qw(goosebit goosebit_ddi goosebit_admin
            goosebit_role)),
        'tenant Werk-2'],
    'init: says what it made');
is_deeply([map { $_->[0] } $s->sql(
    'SELECT name FROM goosebit.tenant ORDER BY id')], ['DEFAULT', 'Werk-2'],
    'init: the tenants of goosebit.yaml are there');

is_deeply(status(), { database => 'goosebit', state => 'current',
    version => $newest, newest => $newest, pending => 0,
    functions => 'current', damage => undef, server => status()->{server} },
    'status: current');
is($s->gbctl('status')->{exit}, 0, 'a verb works');

$r = $s->gbctl('db', 'init');
is($r->{exit}, 1, 'init again: refused');
is($r->{err}, "gbctl: the database \"goosebit\" has gooseBit's schema "
    . "already\nhint: \"gbctl db migrate\" brings it up to date\n",
    'init again: says why');

$r = $s->gbctl('db', 'migrate');
is_deeply([@$r{qw(exit out err)}], [0, '', "nothing to do\n"],
    'migrate: nothing to do');

is($s->value("SELECT count(*) FROM pg_class c WHERE c.relkind IN ('r', 'p')"
    . " AND c.relnamespace = 'goosebit'::regnamespace"
    . " AND pg_get_userbyid(c.relowner) <> 'goosebit_owner'"), 0,
    'all tables belong to goosebit_owner');


# functions of another build

record('functions', 'f' x 64);
is(status()->{state}, 'outdated', 'other functions: outdated');
$r = $s->gbctl('status');
is($r->{exit}, 3, 'other functions: a verb exits 3');
like($r->{err}, qr/hint: run "gbctl db migrate"/, 'with a hint');

$s->sql("DROP FUNCTION goosebit_admin.status(text, int)");
$r = $s->gbctl('db', 'migrate', '-o', 'json');
is_deeply($r->{json}, [{ kind => 'functions', name => 'all' }],
    'migrate: reloads the functions alone');
is($s->gbctl('status')->{exit}, 0, 'and a verb works again');


# two at once: one does it, the other waits and has nothing to do

record('functions', 'f' x 64);
{
    my $holder = $s->psql;
    $holder->query("BEGIN; LOCK TABLE goosebit.migration IN EXCLUSIVE MODE");

    my @pids;
    my $dir = tempdir();

    for my $n (1, 2) {
        my $pid = fork // die;
        if ($pid == 0) {
            my $x = $s->gbctl('db', 'migrate', '-o', 'name');
            spew("$dir/$n", "$x->{exit} $x->{out}");
            require POSIX;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }

    ok(wait_for(sub {
        $s->value("SELECT count(*) FROM pg_locks WHERE NOT granted"
            . " AND locktype IN ('advisory', 'relation')") == 2;
    }), 'two migrate at once: one waits for the other');
    $holder->query('COMMIT');
    waitpid $_, 0 for @pids;

    is(join('', sort map { slurp("$dir/$_") } 1, 2), "0 0 all\n",
        'and only one reloads');
    $holder->quit;
}


# `db migrate` beside the test, into these files; gives its process
sub migrate_beside {
    my ($out, $err) = @_;
    my $pid = fork // die;
    return $pid if $pid;

    my $e = $s->env;
    delete @ENV{grep { /^(?:PG|GOOSEBIT_)/ } keys %ENV};
    @ENV{keys %$e} = values %$e;
    open STDOUT, '>', $out;
    open STDERR, '>', $err;
    exec $ENV{GBCTL}, 'db', 'migrate', '-o', 'name' or die;
}


# killed in the middle: as before, and the lock is free

record('functions', 'f' x 64);
{
    my $before = $s->value("SELECT string_agg(oid::text, ' ' ORDER BY oid)"
        . " FROM pg_proc WHERE pronamespace = 'goosebit_admin'::regnamespace");
    my $holder = $s->psql;
    $holder->query("BEGIN; LOCK TABLE goosebit.migration IN SHARE MODE");

    my $pid = migrate_beside('/dev/null', '/dev/null');

    # reading is let through, the row at the very end is not

    ok(wait_for(sub {
        $s->value("SELECT count(*) FROM pg_locks WHERE NOT granted"
            . " AND relation = 'goosebit.migration'::regclass") == 1;
    }), 'killed migrate: is about to write its last row');
    kill KILL => $pid;
    waitpid $pid, 0;
    $holder->query('COMMIT');
    $holder->quit;

    ok(wait_for(sub {
        $s->value("SELECT count(*) FROM pg_locks"
            . " WHERE locktype = 'advisory'") == 0;
    }), 'killed migrate: its lock is free');
    is($s->value("SELECT string_agg(oid::text, ' ' ORDER BY oid)"
        . " FROM pg_proc WHERE pronamespace = 'goosebit_admin'::regnamespace"),
        $before, 'killed migrate: the old functions are all there');
    is(status()->{state}, 'outdated', 'killed migrate: still outdated');
    is($s->gbctl('db', 'migrate')->{exit}, 0, 'and the next one does it');
    is(status()->{state}, 'current', 'all of it');
}


# behind a backup, or whoever else holds a table: it waits, and is not in the
# way of others

{
    $s->sql('CREATE VIEW goosebit.held AS SELECT 1 AS one');
    $s->sql('ALTER VIEW goosebit.held OWNER TO goosebit_owner');
    record('functions', 'f' x 64);

    my $dir = tempdir();
    my $holder = $s->psql;
    $holder->query("SET application_name = 'pg_dump';"
        . " BEGIN; SELECT FROM goosebit.held");
    my $held = $s->value('SELECT pid FROM pg_stat_activity'
        . " WHERE application_name = 'pg_dump'");

    my $pid = migrate_beside("$dir/out", "$dir/err");

    ok(wait_for(sub { -s "$dir/err" }, 20),
        'a table is held: migrate says so') or $holder->query('COMMIT');
    is(slurp("$dir/err"), "waiting for \"pg_dump\" (pid $held), which uses the"
        . " tables, to end; devices are served meanwhile\n", 'and who it is');
    is($s->value('SELECT one FROM goosebit.held'), 1, 'others may go on');
    $holder->query('COMMIT');
    waitpid $pid, 0;
    is("$? " . slurp("$dir/out"), "0 all\n", 'then it is done');
    is(slurp("$dir/err") =~ tr/\n//, 1, 'having said it once');
    is(status()->{state}, 'current', 'all of it');
    $holder->quit;
}


# an edited old migration

my $sha = $s->value("SELECT sha256 FROM goosebit.migration"
    . " WHERE name = '$files[0]'");
record($files[0], 'e' x 64);

$r = $s->gbctl('db', 'status', '-o', 'json');
is($r->{json}{state}, 'damaged', 'edited migration: status says damaged');
is($r->{json}{damage}, $files[0], 'and which');
is($r->{exit}, 1, 'and exits 1');
$r = $s->gbctl('db', 'migrate');
is($r->{exit}, 1, 'edited migration: migrate refuses');
like($r->{err}, qr/^gbctl: .*another \Q$files[0]\E\nhint: /, 'and says why');
is($s->gbctl('status')->{exit}, 3, 'edited migration: a verb exits 3');
record($files[0], $sha);


# a standby: what is to be written says where to go instead

record('functions', 'f' x 64);
$r = $s->gbctl({ env => { PGOPTIONS => '-c default_transaction_read_only=on' } },
    'db', 'migrate', '-o', 'json');
is($r->{exit}, 3, 'read-only: migrate exits 3');
is(code($r), 'read_only', 'read-only: its code');
like($r->{err}, qr/name the primary, or all with target_session_attrs/,
    'read-only: and what to do');
is($s->gbctl('db', 'migrate')->{exit}, 0, 'read-only: elsewhere it works');


# a newer schema than this build knows

$s->sql("INSERT INTO goosebit.migration VALUES ('9999_later.sql', '"
    . '9' x 64 . "')");
is(status()->{state}, 'newer', 'newer schema: status says so');
for my $verb (['db', 'migrate'], ['status']) {
    $r = $s->gbctl(@$verb, '-o', 'json');
    is($r->{exit}, 3, "newer schema: @$verb exits 3");
    is(code($r), 'schema', "newer schema: @$verb: code");
    like($r->{err}, qr/9999 is newer than this gbctl's/, 'says both numbers');
}
$s->sql("DELETE FROM goosebit.migration WHERE name = '9999_later.sql'");


# rights: a stranger, a viewer

$s->sql("CREATE ROLE stranger LOGIN");
$s->sql("CREATE ROLE watcher LOGIN IN ROLE goosebit_viewer");

$r = $s->gbctl({ env => { PGUSER => 'stranger' } }, 'status', '-o', 'json');
is($r->{exit}, 4, 'stranger: exit 4');
is(code($r), 'not_permitted', 'stranger: not_permitted');
is($s->gbctl({ env => { PGUSER => 'watcher' } }, 'status')->{exit}, 0,
    'viewer: may look');
is($s->gbctl({ env => { PGUSER => 'watcher' } }, 'db', 'migrate')->{exit}, 4,
    'viewer: may not migrate');
for my $rights (qw(viewer operator admin)) {
    $s->sql("CREATE ROLE the_$rights LOGIN IN ROLE goosebit_$rights");
    my $as = { env => { PGUSER => "the_$rights" } };
    $r = $s->gbctl($as, 'db', 'status', '-o', 'json');
    is_deeply([$r->{exit}, $r->{json}], [0, status()],
        "$rights: db status") or diag $r->{err};
    $r = $s->gbctl($as, 'db', 'check');
    is_deeply([@$r{qw(exit err)}], [0, "no damage\n"], "$rights: db check");
    for my $verb (qw(init migrate)) {
        record('functions', 'f' x 64);
        is($s->gbctl($as, 'db', 'status', '-o', 'json')->{json}{state},
            'outdated', "$rights: sees what is outdated");
        $r = $s->gbctl($as, 'db', $verb);
        is($r->{exit}, 4, "$rights: may not $verb");
        $s->gbctl('db', 'migrate');
    }
}
is($s->gbctl({ env => { PGUSER => 'goosebit_ddi' } }, 'db', 'status')->{exit},
    4, "the module's role may not ask");
is($s->gbctl({ env => { PGUSER => 'goosebit_ddi' } }, 'status')->{exit}, 4,
    "the module's role has no business here");


# how a database can be named: --db beats the file, PG* fills the rest

{
    my ($host, $user) = ($s->socket, $s->env->{PGUSER});
    my $escaped = $host =~ s{/}{%2F}gr;
    my %none = map { $_ => undef } grep { /^PG/ } keys %{$s->env};
    delete $none{PG_PID};

    for my $uri ("postgres://$user\@/goosebit?host=$host",
        "postgresql://$user\@$escaped/goosebit", "postgres:///goosebit?"
        . "user=$user&host=$host", "asyncpg://$user\@/goosebit?host=$host",
        "psycopg://$user\@/goosebit?host=$host",
        "host=$host user=$user dbname=goosebit")
    {
        my $x = $s->gbctl({ env => \%none }, '--db', $uri, 'status');
        is($x->{exit}, 0, "--db $uri") or diag $x->{err};
    }

    for my $uri ('postgres:///goosebit', 'postgres://') {
        my $x = $s->gbctl({ env => { %none, PGHOST => $host,
            PGUSER => $user, PGDATABASE => 'goosebit' } },
            '--db', $uri, 'status');
        is($x->{exit}, 0, "--db $uri and PG*") or diag $x->{err};
    }

    my $x = $s->gbctl({ env => { %none, GOOSEBIT_DB_URI => 'postgres://no' } },
        "--db=postgres://$user\@/goosebit?host=$host", 'status');
    is($x->{exit}, 0, '--db beats GOOSEBIT_DB_URI') or diag $x->{err};
}

for my $uri ('mysql://h/d', 'sqlite:///db.sqlite3', 'postgres://h/d?what=1') {
    my $x = $s->gbctl('--db', $uri, 'status', '-o', 'json');
    is($x->{exit}, 2, "--db $uri: a usage error");
    is(code($x), 'invalid', "--db $uri: code");
    unlike($x->{err}, qr/GOOSEBIT_DB_URI/, "--db $uri: names --db");
}


# two init at once: one makes all, the other says that it is there

{
    my @pids;
    my $dir = tempdir();
    $s->sql('CREATE DATABASE second');

    for my $n (1, 2) {
        my $pid = fork // die;
        if ($pid == 0) {
            my $x = $s->gbctl({ env => { PGDATABASE => 'second' } },
                '--db', 'postgres:///?host=' . $s->socket, 'db', 'init');
            spew("$dir/$n", "$x->{exit} ");
            require POSIX;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }

    waitpid $_, 0 for @pids;
    is(join('', sort map { slurp("$dir/$_") } 1, 2), '0 1 ',
        'two init at once: one does it');
    is($s->gbctl({ env => { PGDATABASE => 'second' } }, '--db',
        'postgres:///second?host=' . $s->socket, 'status')->{exit}, 0,
        'and the database works');
}


# gone

$s->pg('stop');
is($s->gbctl('status')->{exit}, 3, 'PostgreSQL stopped: exit 3');


# a dump restored: without owners and rights, and where no roles are

{
    my $from = stack(nginx => 0, fsync => 'off');
    my $to = stack(nginx => 0, init => 0, fsync => 'off');

    # What the module's login needs, and an operator.
    my $works = sub {
        my ($s, $db) = @_;
        return $s->value("SELECT (SELECT count(*) FROM
                goosebit_ddi.tenants(ARRAY['DEFAULT']))", database => $db,
                user => 'goosebit_ddi')
            . $s->value("SELECT pg_has_role('goosebit_admin',
                'goosebit_viewer', 'MEMBER') AND (SELECT rolconfig::text ~
                'statement_timeout' FROM pg_roles
                WHERE rolname = 'goosebit_ddi')");
    };

    for (['no owners', $from, qw(--no-owner --no-privileges)],
        ['no rights', $from, '--no-privileges'], ['no roles', $to])
    {
        my ($name, $s, @args) = @$_;
        my $db = $name =~ s/ /_/r;
        my $uri = "postgres:///$db?user=postgres&host=" . $s->socket;
        my $gbctl = sub { $s->gbctl('--db', $uri, 'db', @_) };
        my $file = tempdir() . '/dump';

        is(run(['pg_dump', '-h', $from->socket, '-U', 'postgres', @args, '-f',
            $file, 'goosebit'])->{exit}, 0, "$name: dumped");
        $s->sql("CREATE DATABASE $db");
        run(['psql', '-qX', '-h', $s->socket, '-U', 'postgres', '-f', $file,
            $db]);

        is($gbctl->('status', '-o', 'json')->{json}{state}, 'outdated',
            "$name: status sees it");
        my $r = $gbctl->('check', '--no-files', '-o', 'json');
        is($r->{exit}, 1, "$name: check: exit 1");
        like($r->{json}[0]{damage}, qr/^its roles, owners or rights are lost/,
            "$name: check says what");
        is($gbctl->('migrate')->{exit}, 0, "$name: migrate brings them back");
        is($works->($s, $db), '1t', "$name: and the module works");
        $r = $gbctl->('check', '--no-files');
        is_deeply([@$r{qw(exit err)}], [0, "no damage\n"],
            "$name: no damage is left") or diag $r->{out};
        is($gbctl->('migrate')->{err}, "nothing to do\n", "$name: that is all");
    }
}

done_testing;
