#!/usr/bin/perl
# gbctl user: PostgreSQL logins with rights, and what they may.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Pty;
use Goosebit::Test;

use Digest::SHA qw(sha256);

my $s = stack(fsync => 'off');
my $f = Goosebit::Fleet->new($s);
my $odd = q(o'brien "x" \\);

sub user { $s->gbctl('user', @_) }
sub as { my $who = shift; $s->gbctl({ env => { PGUSER => $who } }, @_) }
sub error { JSON::PP::decode_json($_[0]{err})->{error} }
sub rights { +{ map { $_->{name} => $_->{rights} } @{user('list', '-o',
    'json')->{json}} } }
sub role { $s->value("SELECT count(*) FROM pg_roles WHERE rolname = '$_[0]'") }

$f->register('a');

subtest 'rights are the database\'s' => sub {
    is(user('list')->{err}, "no users\n", 'none at first');
    for my $rights (qw(viewer operator admin)) {
        is_deeply(user('add', "the-$rights", '--rights', $rights, '-o',
            'json')->{json}, { name => "the-$rights", rights => $rights },
            "add: $rights");
    }
    is(user('add', $odd)->{exit}, 0, 'any name, and a viewer by default');
    is_deeply(rights(), { 'the-viewer' => 'viewer', 'the-admin' => 'admin',
        'the-operator' => 'operator', $odd => 'viewer' }, 'list');

    is(as('the-viewer', 'device', 'list')->{exit}, 0, 'a viewer looks');
    my $r = as('the-viewer', 'device', 'set', 'a', '--feed', 'x');
    is($r->{exit}, 4, 'and may not set: exit 4');
    like($r->{err}, qr/\Agbctl: not permitted for "the-viewer": permission denied for function device_set\nhint: .*\n\z/,
        'one line and a hint');
    is(error(as('the-viewer', 'device', 'set', 'a', '--feed', 'x', '-o',
        'json'))->{code}, 'not_permitted', 'as JSON');
    is(as('the-operator', 'device', 'set', 'a', '--feed', 'x')->{exit}, 0,
        'an operator may');
    is(as('the-operator', 'tenant', 'add', 'x')->{exit}, 4, 'not tenants');
    is(as('the-operator', 'user', 'add', 'x')->{exit}, 4, 'nor users');
    is(as('the-admin', 'user', 'add', 'x')->{exit}, 0, 'an admin may');
    is(as('the-admin', 'user', 'delete', 'x', '-y')->{exit}, 0, 'and delete');
    is(as($odd, 'status')->{exit}, 0, 'an odd name logs in');
    is_deeply([$s->sql("SELECT verb, object, after ->> 'feed' FROM
        goosebit.audit WHERE who = 'the-operator'")],
        [['device.set', 'a', 'x']], 'the audit has who did it');
};

subtest 'never more than rights here' => sub {
    is_deeply([$s->sql("SELECT DISTINCT roleid::regrole::text
        FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
        WHERE r.rolname !~ '^(goosebit|pg|postgres)' ORDER BY 1")],
        [map { ["goosebit_$_"] } qw(admin operator viewer)],
        'memberships of all users');
    is($s->value("SELECT count(*) FROM pg_roles WHERE rolname ~ '^the-' AND
        (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
         OR rolbypassrls OR NOT rolcanlogin)"), 0, 'a login and no more');

    for my $name ('goosebit_x', 'goosebit', 'pg_x', 'public', 'none', '',
        'x' x 64, "a\tb")
    {
        is(user('add', $name)->{exit}, 1, "\"$name\" is no name");
    }
    is(error(user('add', 'the-admin', '-o', 'json'))->{code}, 'conflict',
        'once');
    is(error(user('add', 'postgres', '-o', 'json'))->{code}, 'conflict',
        'not a role that there is');

    $s->sql('CREATE ROLE dba LOGIN CREATEDB IN ROLE goosebit_admin;
        CREATE ROLE grown LOGIN;');
    is(rights()->{dba}, 'admin', 'one that others made is listed');
    user('add', 'big');
    $s->sql('GRANT pg_read_all_data TO big');
    for my $name (qw(dba big grown postgres)) {
        for (['set', $name, '--rights', 'viewer'], ['delete', $name, '-y'],
            ['set', $name, '--no-password'])
        {
            is(as('the-admin', 'user', @$_)->{exit}, 1, "@$_: refused");
        }
    }
    is(role($_), 1, "$_ is there") for qw(dba big grown postgres);
    like($s->_psql(qq{SELECT goosebit_role.put('dba', 'viewer', NULL)},
        user => 'the-admin')->{err}, qr/42501/, 'not by the back door');
    like($s->_psql(q{SET ROLE goosebit_owner; SELECT goosebit_role.put('dba',
        NULL, 'SCRAM-SHA-256$1:a$b:c')})->{err}, qr/is not one of ours/,
        'nor for the owner of all functions');
    like($s->_psql(q{SET ROLE goosebit_owner; SELECT goosebit_role.put('new',
        'pg_read_all_data', NULL)})->{err}, qr/neither rights/,
        'who can\'t give other rights');
    like($s->_psql('SET ROLE goosebit_owner; CREATE ROLE x')->{err},
        qr/42501/, 'and has no CREATEROLE');
};

# PostgreSQL shows who asks for it the plans of what runs in our name, too, with
# what stands in them as constants.
subtest 'what a viewer does not read' => sub {
    is($s->gbctl({ stdin => "S3cret\n" }, 'device', 'add', 'tok', '--token',
        '-')->{exit}, 0, 'a device with a token');
    my $digest = join '\s+', map { $_ - ($_ > 127 ? 256 : 0) }
        unpack 'C*', sha256('S3cret');
    my $shown = sub { $s->_psql("SET client_min_messages = log;
        SET plan_cache_mode = force_custom_plan; SET debug_print_$_[0] = on;
        SELECT * FROM goosebit_admin.device_show('DEFAULT', 'tok', 60, NULL);
        SELECT * FROM goosebit_admin.device_explain('DEFAULT', 'tok', 60,
            NULL, 'setup')", user => $_[1])->{err} };
    for my $what (qw(parse rewritten plan)) {
        my $err = $shown->($what, 'the-viewer');
        like($err, qr/COMMANDTYPE/i, "$what: the call itself is shown");
        unlike($err, qr/\s$digest\s/, 'the token\'s digest is not');
        cmp_ok(length $err, '<', 100_000, 'nor anything else');
    }
};

subtest 'set and delete' => sub {
    is(user('set', 'the-operator', '--rights', 'viewer')->{exit}, 0, 'set');
    is(as('the-operator', 'device', 'set', 'a', '--feed', 'y')->{exit}, 4,
        'at once');
    is(as('the-admin', 'user', 'set', 'the-admin', '--rights', 'viewer')
        ->{exit}, 1, 'nobody changes their own rights');
    is(as('the-admin', 'user', 'delete', 'the-admin', '-y')->{exit}, 1,
        'or deletes themselves');
    is(user('delete', 'the-operator')->{exit}, 1, 'delete asks');
    is(user('delete', 'the-operator', '--dry-run')->{exit}, 0, '--dry-run');
    is(role('the-operator'), 1, 'changes nothing');
    is(user('delete', 'the-operator', '-y')->{exit}, 0, 'delete');
    is(role('the-operator'), 0, 'the role is gone');
    is(user('delete', 'the-operator', '-y')->{exit}, 1, 'not twice');
    is(user('set', 'nobody', '--rights', 'viewer')->{exit}, 1, 'unknown');

    $s->sql('GRANT CREATE ON SCHEMA public TO "the-viewer"');
    is(error(user('delete', 'the-viewer', '-y', '-o', 'json'))->{code},
        'in_use', 'one that was granted more is told');
    for (['--password', '-'], ['--no-password']) {
        is(error($s->gbctl({ stdin => "s3cret\n" }, 'user', 'set',
            'the-viewer', @$_, '-o', 'json'))->{code}, 'in_use',
            "and keeps the password: @$_");
    }
    is(user('set', 'the-viewer', '--rights', 'operator')->{exit}, 0,
        'while rights here are ours to give');
};

subtest 'passwords' => sub {
    my $kept = sub { $s->value("SELECT rolpassword FROM pg_authid
        WHERE rolname = '$_[0]'") };
    is($kept->('the-admin'), undef, 'none without a terminal');
    is($s->gbctl({ stdin => "s3cret\n" }, 'user', 'add', 'pw',
        '--password', '-')->{exit}, 0, '--password -');
    like($kept->('pw'), qr/^SCRAM-SHA-256\$/, 'a verifier is kept');
    my $old = $kept->('pw');
    is($s->gbctl({ stdin => "s3cret\n" }, 'user', 'set', 'pw',
        '--password', '-')->{exit}, 0, 'set');
    isnt($kept->('pw'), $old, 'a new one');
    is(user('set', 'pw', '--no-password')->{exit}, 0, '--no-password');
    is($kept->('pw'), undef, 'none');
    is($s->gbctl({ stdin => "" }, 'user', 'set', 'pw', '--password',
        '-')->{exit}, 1, 'no line: refused');
    is(user('add', 'x', @$_)->{exit}, 2, "@$_: usage")
        for ['--password', 'x'], ['--password', '-', '--no-password'],
            ['--rights', 'root'];
    is(user('set', 'pw')->{exit}, 2, 'nothing to set: usage');

    my $log = slurp($s->dir . '/logs/postgresql.log');
    unlike($log, qr/s3cret/, 'never in the server\'s log');
    is($s->value("SELECT count(*) FROM goosebit.audit a
        WHERE a::text ~ 'SCRAM|s3cret'"), 0, 'nor in the audit');
    is($s->value("SELECT string_agg(after ->> 'password', ' ' ORDER BY id)
        FROM goosebit.audit WHERE object = 'pw'"), 'set changed none',
        'which has that it changed');

    my $t = Goosebit::Pty->new($s, 'user', 'add', 'asked');
    ok($t->wait(qr/password \(none: empty\):/), 'on a terminal it asks');
    $t->send("s3cret\n");
    ok($t->wait(qr/once more:/), 'twice');
    $t->send("s3cret\n");
    is($t->end, 0, 'and is content');
    unlike($t->raw, qr/s3cret/, 'what is typed is not shown');
    like($kept->('asked'), qr/^SCRAM/, 'and kept');

    $t = Goosebit::Pty->new($s, 'user', 'add', 'differ');
    $t->wait(qr/empty\):/);
    $t->send("one\n");
    $t->wait(qr/more:/);
    $t->send("two\n");
    is($t->end, 1, 'two that differ are refused');
    is(role('differ'), 0, 'and nobody is made');

    $t = Goosebit::Pty->new($s, 'user', 'add', 'broken');
    $t->wait(qr/empty\):/);
    $t->send("\cC");
    is($t->end, 130, '^C ends it');
    like($t->modes, qr/(?<!-)\becho\b/, 'and echo is on again');
};

is($s->gbctl('user', 'delete', 'nobody-here')->{err},
    qq{gbctl: user "nobody-here": not found\n}, 'no question for nobody');

done_testing;
