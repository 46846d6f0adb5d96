#!/usr/bin/perl
# gbctl db check: each kind of damage is found and named, and nothing else; and
# who may migrate without being a superuser.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Fleet;
use Goosebit::Test;

use File::Basename qw(basename dirname);
use File::Path qw(make_path);

my $s = stack(fsync => 'off');
my $f = Goosebit::Fleet->new($s);

sub check { $s->gbctl('db', 'check', @_) }
sub found { join '; ', map { join ' ', map { $_ // '-' }
    @$_{qw(kind tenant object damage)} } @{check('-o', 'json', @_)->{json}} }

my $r = check();
is($r->{exit}, 0, 'an empty database: exit 0');
is($r->{err}, "no damage\n", 'no damage');

$f->software('1.0', 'board:r1');
$f->register($_, sw_version => '0.9') for qw(a b c);
$s->gbctl('rollout', 'create', '--software', '1');
is($s->value('SELECT count(*) FROM goosebit.rollout
    WHERE software_version IS NULL OR software_patterns'), 0,
    'a rollout knows its software');
$f->report('a', $f->fetch('a'), 'closed', 'success');
my $ended = $f->fetch('b');
$f->report('b', $ended, 'closed', 'failure');
my $open = $f->fetch('c');
$s->gbctl('device', 'pin', 'a');
is(check()->{exit}, 0, 'a fleet at work: exit 0') or diag found();
is(found(), '', 'no damage');

# Damages, looks, and takes it back.
sub damaged {
    my ($sql, $undo, $want, $name) = @_;
    $s->sql($sql);
    is(found(), $want, $name);
    my $r = check();
    is($r->{exit}, 1, "$name: exit 1");
    like($r->{err}, qr/\Agbctl: \d things? (?:is|are) damaged\n\z/,
        "$name: one line");
    $s->sql($undo);
    is(found(), '', "$name: mended");
}

damaged("UPDATE goosebit.device SET mode = 'x' WHERE controller_id = 'a'",
    "UPDATE goosebit.device SET mode = 'pinned' WHERE controller_id = 'a'",
    'device DEFAULT a mode is not valid', 'a mode that is none');
damaged("UPDATE goosebit.device SET open_action_id = NULL
    WHERE controller_id = 'c'", "UPDATE goosebit.device
    SET open_action_id = $open WHERE controller_id = 'c'",
    'device DEFAULT c its open action is not the one it has',
    'an open action that its device does not know');
damaged("UPDATE goosebit.action SET progress = 101 WHERE id = $open",
    "UPDATE goosebit.action SET progress = 0 WHERE id = $open",
    "action DEFAULT $open progress is not valid", 'progress past its end');
damaged("UPDATE goosebit.action SET device_id = -device_id WHERE id = $ended",
    "UPDATE goosebit.action SET device_id = -device_id WHERE id = $ended",
    "action DEFAULT $ended is of a device that is gone",
    'an action whose device is gone');
damaged("UPDATE goosebit.software SET version_key = 'x'",
    "UPDATE goosebit.software SET version_key = goosebit.version_key(version)",
    'software DEFAULT 1 version_key is not that of its version',
    'a version key');
damaged("UPDATE goosebit.rollout SET software_version = '7'",
    "UPDATE goosebit.rollout SET software_version = '1.0'",
    'rollout DEFAULT 1 version is not that of its software',
    'a rollout to another version than its software has');
damaged("UPDATE goosebit.rollout SET software_hardware = '{}'",
    q(UPDATE goosebit.rollout SET software_hardware = '{"board": ["r1"]}'),
    'rollout DEFAULT 1 hardware is not that of its software',
    'a rollout for other hardware than its software fits');
damaged("UPDATE goosebit.action SET software_id = 7 WHERE id = $open",
    "UPDATE goosebit.action SET software_id = 1 WHERE id = $open",
    "action DEFAULT $open is open for software 7, which is gone; "
    . "action DEFAULT $open software 7, but its rollout 1 has 1",
    'software that is gone');

my ($image) = glob $s->artifacts . '/??/*/*.swu';
my ($name) = $image =~ m{(../[^/]+/[^/]+)$};
my $object = $name =~ s{/}{}r;
rename $image, "$image.away" or die $!;
is(found(), "file - $object is missing, and is software DEFAULT/1; "
    . "file - $object.away belongs to no software",
    'a file that is missing, and one that nobody knows');
is(found('--no-files'), '', '--no-files looks at neither');
unlink $image;
link "$image.away", $image or die $!;
$r = check();
is($r->{exit}, 0, 'a file of no software alone is no damage');
like($r->{err}, qr/^1 file is of no software: left by a "software add"/,
    'but is said');
is(check('--remove-files', '--no-files')->{exit}, 2, 'one of both');
is(check(qw(--remove-files -y))->{exit}, 0, 'and is removed where it is wanted');
ok(!-e "$image.away" && -e $image, 'it alone');

$s->sql("UPDATE goosebit.migration SET sha256 = 'x' WHERE name ~ '^0001'");
is(found(),
    'migration - 0001_foundations.sql is not the one that this gbctl has',
    'a migration that was another');
is(check()->{exit}, 1, 'exit 1');
is($s->gbctl('db', 'migrate')->{exit}, 1, 'migrate refuses, too');
$s->sql("UPDATE goosebit.migration SET sha256 =
    '@{[`sha256sum sql/migrations/0001_foundations.sql` =~ /^(\w+)/]}'
    WHERE name ~ '^0001'");
is(check()->{exit}, 0, 'and as it was');


# Who owns the database and may make roles needs no superuser.

my $bare = stack(nginx => 0, init => 0, fsync => 'off');
$bare->sql('CREATE ROLE owner LOGIN CREATEROLE; CREATE ROLE plain LOGIN');
$bare->sql('CREATE DATABASE other OWNER owner', database => 'postgres');
my $as = sub { my $who = shift; $bare->gbctl({ env => { PGUSER => $who } },
    '--db', 'postgres:///other?host=' . $bare->socket, @_) };
is($as->('plain', 'db', 'init')->{exit}, 4, 'init by anybody: exit 4');
$r = $as->('owner', 'db', 'init');
is($r->{exit}, 0, 'init by the owner with CREATEROLE') or diag $r->{err};
$bare->sql("UPDATE goosebit.migration SET sha256 = 'x'
    WHERE name = 'functions'", database => 'other');
$r = $as->('owner', 'db', 'migrate');
is($r->{exit}, 0, 'and migrate') or diag $r->{err};
is($as->('owner', 'db', 'check')->{exit}, 0,
    'check: the files of another database are no damage here');
is($as->('owner', 'db', 'check', '--no-files')->{exit}, 0, 'all is well');
is($as->('plain', 'db', 'migrate')->{exit}, 4, 'migrate by anybody: exit 4');
is($as->('plain', 'db', 'status')->{exit}, 4, 'status: exit 4');

done_testing;
