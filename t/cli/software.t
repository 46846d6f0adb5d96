#!/usr/bin/perl
# gbctl software: images go into the store and the database together, or not
# at all.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Cwd ();
use Digest::SHA;
use File::Find;
use JSON::PP;
use POSIX ();

my $s = stack(fsync => 'off');
my $dir = tempdir;

sub make_swu {
    my ($name, @args) = @_;
    is(system('t/lib/fixtures/make-swu', '-o', "$dir/$name", @args), 0,
        "made $name");
    return "$dir/$name";
}

sub gbctl { $s->gbctl('software', @_) }
sub json { gbctl(@_, '-o', 'json')->{json} }
sub error { decode_json(gbctl(@_, '-o', 'json')->{err})->{error} }

sub stored {
    my @files;
    find(sub { push @files, substr $File::Find::name,
        length($s->artifacts) + 1 if -f }, $s->artifacts)
        if -d $s->artifacts;
    return sort @files;
}


# add

my $one = make_swu('one.swu', '-V', '1.0.0', '-n', 'demo');
my $sha = Digest::SHA->new(256)->addfile($one)->hexdigest;

my $r = gbctl('add', $one);
is($r->{exit}, 0, 'add: exit 0');
like($r->{out}, qr/^\s*1\s+1\.0\.0\s+swu\s+demo\s+board 1\.0\s/m,
    'add: says id, version, format, hardware');
is_deeply([stored()], [sprintf '%s/%s/one.swu', unpack 'a2 a*', $sha],
    'add: stored under its digest');
is(Digest::SHA->new(256)->addfile($s->artifacts . '/' . (stored())[0])
    ->hexdigest, $sha, 'add: the same bytes');

my $list = json('list');
is(scalar @$list, 1, 'list: an array of one');
is($list->[0]{sha256}, $sha, 'list: sha256');
is($list->[0]{sha1}, Digest::SHA->new(1)->addfile($one)->hexdigest,
    'list: sha1');
is($list->[0]{size}, -s $one, 'list: size in bytes');
is_deeply($list->[0]{hardware}, [{ model => 'board', revision => '1.0' }],
    'list: hardware');
is($list->[0]{devices} + $list->[0]{rollouts}, 0, 'list: used by nothing');


# conflicts leave the store as it was

my @before = stored();
my $other = make_swu('other.swu', '-V', '1.0.0', '-s', '5000');
is(gbctl('add', $other)->{exit}, 1, 'the same version and hardware: exit 1');
is_deeply(error('add', $other), { code => 'conflict', message =>
    'other.swu: software 1 has version 1.0.0 for the same hardware' },
    'the error names the other');
like(gbctl('add', $one)->{err}, qr/^hint: it is this very file$/m,
    'the same file again is told so');
is_deeply([stored()], \@before, 'the store is unchanged');

my $pattern = make_swu('pattern.swu', '-V', '1.0.0', '-H', 'board:#RE:^1');
is(gbctl('add', $pattern)->{exit}, 1, 'a pattern that meets it: exit 1');

my $elsewhere = make_swu('elsewhere.swu', '-V', '1.0.0', '-H', 'other:1.0');
is(gbctl('add', $elsewhere)->{exit}, 0, 'other hardware is no conflict');

my $fresh = make_swu('fresh.swu', '-V', '3.0.0');
@before = stored();
is(gbctl('add', $fresh, $other)->{exit}, 1, 'two files, one a conflict');
is_deeply([stored()], \@before, 'neither is stored');
is($s->value("SELECT count(*) FROM goosebit.software WHERE version = '3.0.0'"),
    0, 'nor registered');

my $rival = make_swu('rival.swu', '-V', '3.0.0', '-s', '5000');
is_deeply(error('add', $fresh, $rival), { code => 'conflict', message =>
    'rival.swu: fresh.swu, added with it, has version 3.0.0 for the same '
    . 'hardware' }, 'two of one version: named by file, there is no id');
is_deeply([stored()], \@before, 'neither is stored');

$r = gbctl('add', '--dry-run', $fresh);
is($r->{exit}, 0, 'dry run: exit 0');
is_deeply([stored()], \@before, 'dry run: nothing stored');
is(scalar @{json('list')}, 2, 'dry run: nothing registered');

my $bad = make_swu('bad-pattern.swu', '-V', '4.0.0', '-H', 'board:#RE:(');
$r = gbctl('add', $bad);
is($r->{exit}, 1, 'a pattern that does not compile: exit 1');
like($r->{err}, qr/^gbctl: .*regular expression/, 'and says so');


# what is no image

spew("$dir/text", "hello\n");
spew("$dir/empty", '');
spew("$dir/cut.swu", substr slurp($one), 0, 700);
for (['text', qr/neither a SWUpdate image .* nor a RAUC bundle/],
    ['empty', qr/empty|neither/], ['cut.swu', qr/cut\.swu: /],
    ['absent', qr/absent: No such file or directory/])
{
    my ($name, $like) = @$_;
    my $got = gbctl('add', "$dir/$name");
    is($got->{exit}, 1, "$name: exit 1");
    like($got->{err}, $like, "$name: a clear word");
    is(scalar(() = $got->{err} =~ /\n/g), 1, "$name: one line");
}
is(gbctl('add', $dir)->{exit}, 1, 'a directory: exit 1');
is_deeply([stored()], \@before, 'nothing was stored for them');

is(gbctl('add')->{exit}, 2, 'no file: exit 2');
is(gbctl('add', $one, '--url', 'http://x/')->{exit}, 2,
    'file and URL: exit 2');


# a database that is gone, or goes away

is($s->gbctl('--db', 'postgresql:///x?host=/nonexistent', 'software', 'add',
    $fresh)->{exit}, 3, 'no database: exit 3');
is_deeply([stored()], \@before, 'no database: nothing stored');

$s->sql('ALTER TABLE goosebit.software_hardware ADD CONSTRAINT no
    CHECK (false) NOT VALID');
isnt(gbctl('add', $fresh)->{exit}, 0, 'the registration fails');
is_deeply([stored()], \@before, 'and leaves no file');
$s->sql('ALTER TABLE goosebit.software_hardware DROP CONSTRAINT no');


# a commit that fails after the file was published

$s->sql(<<'SQL');
CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE CONSTRAINT TRIGGER no AFTER INSERT ON goosebit.software
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no();
SQL
isnt(gbctl('add', $fresh)->{exit}, 0, 'the commit fails');
is_deeply([stored()], \@before, 'the published file is gone again');
$s->sql('DROP FUNCTION public.no() CASCADE');


# show

is(json('show', '1')->{id}, 1, 'show: by id');
is(json('show', 'demo:1.0.0')->{id}, 1, 'show: by name and version');
is(json('show', '1')->{signature}{present}, JSON::PP::false,
    'show: is not signed');
is(error('show', '99')->{code}, 'not_found', 'show: not found');
is(error('show', '1.0.0')->{code}, 'ambiguous', 'show: several');
like(gbctl('show', '1.0.0')->{err},
    qr/^hint: .*1 \(demo:1\.0\.0\), 2 \(/m, 'show: lists them');


# inspect knows the same without a database

my $local = $s->gbctl({ env => { PGHOST => '/nonexistent' } }, 'software',
    'inspect', $one, '-o', 'json')->{json};
my $shown = json('show', '1');
is_deeply([@$local{qw(version format size sha256 md5 hardware)}],
    [@$shown{qw(version format size sha256 md5 hardware)}],
    'inspect tells what show tells');


# a bundle

is(system('t/lib/fixtures/make-raucb', '-o', "$dir/b.raucb"), 0,
    'made a bundle');
my $added = gbctl('add', "$dir/b.raucb");
is("$added->{exit} $added->{err}", '0 ', 'rauc: added');
is_deeply((grep { $_->{format} eq 'rauc' } @{json('list')})[0]{hardware},
    [{ model => 'my-board', revision => 'rev4.2' }], 'rauc: hardware');
is(system('t/lib/fixtures/make-raucb', '-o', "$dir/bare.raucb", '-f', 'none',
    '-V', '0.1.0'), 0, 'made one without a signature');
$added = gbctl('add', "$dir/bare.raucb");
is("$added->{exit} $added->{err}", "0 bare.raucb has no signature: no device's "
    . "RAUC installs it\n", 'rauc: added with a word on it');
is(gbctl('delete', 'bare.raucb:0.1.0')->{exit}, 0, 'and deleted');


# delete

$s->gbctl('rollout', 'create', '--software', '1');
is_deeply(error('delete', '1'), { code => 'in_use',
    message => 'software "1": in use by rollout 1' }, 'delete: in use');
is(gbctl('delete', '2', '1')->{exit}, 1, 'delete: one of two is in use');
ok($s->value('SELECT 1 FROM goosebit.software WHERE id = 2'),
    'delete: so the other stays too');
$s->gbctl('rollout', 'delete', '1');

is(gbctl('delete', '1', '--dry-run')->{exit}, 0, 'delete: dry run');
is(json('show', '1')->{id}, 1, 'delete: dry run deletes nothing');

@before = grep { !/one\.swu$/ } stored();
is(gbctl('delete', '1')->{exit}, 0, 'delete: exit 0');
is_deeply([stored()], \@before, 'delete: its file is gone, others stay');


# one file, two tenants

$s->sql("INSERT INTO goosebit.tenant (name) VALUES ('Two')");
is(gbctl('add', $one)->{exit}, 0, 'added again');
is($s->gbctl('-t', 'two', 'software', 'add', $one)->{exit}, 0,
    'added by another tenant');
my ($id) = map { $_->{id} } grep { $_->{sha256} eq $sha } @{json('list')};
is(gbctl('delete', $id)->{exit}, 0, 'deleted by one');
is(scalar(grep { /one\.swu$/ } stored()), 1, 'the other still has the file');


# remote: the device gets the URL

$s->sql('CREATE ROLE reader LOGIN IN ROLE goosebit_viewer');

make_swu('remote.swu', '-V', '9.0.0');
my $web = stack(fsync => 'off', server => "location /www/ { alias $dir/; }\n"
    . join '', map { "location = /$_ { error_page 404 =$_ /www/remote.swu;"
    . " return 404; }\n" } 202, 300);
chmod 0755, $dir;
my $url = $web->url . '/www/remote.swu';
(my $secret = $url) =~ s{://}{://user:geheim\@};
is(gbctl('add', '--url', $secret)->{exit}, 0, 'remote: added');
my $remote = json('show', '9.0.0');
(my $masked = $secret) =~ s/geheim/***/;
is($remote->{uri}, $masked, 'remote: the password is not shown');
is($remote->{sha256},
    Digest::SHA->new(256)->addfile("$dir/remote.swu")->hexdigest,
    'remote: hashed');
is(scalar(grep { /remote\.swu$/ } stored()), 0,
    'remote: not stored');
is($s->value("SELECT uri FROM goosebit.software WHERE version = '9.0.0'"),
    $secret, 'remote: the device will get all of it');
is($s->value("SELECT uri FROM goosebit_admin.software_files('DEFAULT',
    '{9.0.0}')", user => 'reader'), undef,
    'remote: nor is it to who only reads');
is(gbctl('add', '--url', $web->url . '/www/no.swu')->{exit}, 1,
    'remote: not found is exit 1');
for my $status (202, 300) {
    like(gbctl('add', '--url', $web->url . "/$status")->{err},
        qr{/$status: the server answered $status, not 200$},
        "remote: $status is no image, whatever comes with it");
}
like(gbctl('add', '--url', "$url x")->{err}, qr/^gbctl: --url is not a URL\n/,
    'remote: a space in the URL');
like(run(['bash', '-c', 'ulimit -f 1; exec "$@"', 'bash', 'env',
    (map { "$_=" . $s->env->{$_} } keys %{$s->env}), $s->env->{GBCTL},
    'software', 'add', '--url', $url])->{err},
    qr{^gbctl: no temporary file in /tmp: File too large$},
    'remote: no room for it');
is(gbctl('add', '--url', $url, '--sha256', '0' x 64)->{exit}, 1,
    'remote: another digest is refused');


# verify: what is stored, and what a URL has now

my $all = json('verify', '--all');
is_deeply([map { $_->{state} } @$all], [('ok') x @{json('list')}],
    'verify: all is well');
is($all->[-1]{where}, $masked, 'verify: says where, without the password');
is(json('verify', '9.0.0', 'b.raucb:1.0.0')->[0]{state}, 'ok',
    'verify: some');

my ($elsewhere_file) = grep { /elsewhere/ } stored();
my ($bundle_file) = grep { /b\.raucb/ } stored();
spew($s->artifacts . "/$elsewhere_file", 'x');
unlink $s->artifacts . "/$bundle_file";
mkdir $s->artifacts . '/ab';
mkdir $s->artifacts . '/ab/' . 'c' x 62;
spew($s->artifacts . '/ab/' . 'c' x 62 . '/lost.swu', 'lost');
spew($s->artifacts . '/ab/other', 'not an artifact');
rename "$dir/remote.swu", "$dir/moved.swu";

$r = gbctl('verify', '--all', '-o', 'json');
is($r->{exit}, 1, 'verify: exit 1');
is_deeply([map { [$_->{state}, $_->{where}] } grep { $_->{state} ne 'ok' }
    @{$r->{json}}], [[damaged => 'elsewhere.swu'], [missing => 'b.raucb'],
    [missing => $masked], [unknown => 'ab/' . 'c' x 62 . '/lost.swu']],
    'verify: damaged, missing, and what is nobody\'s');
like($r->{err}, qr/3 of \d+ are not what they were/, 'verify: counts them');

# Who only reads may, and sees the same, but for URLs with passwords.
my @reader = { env => { PGUSER => 'reader' } };
my $read = $s->gbctl(@reader, qw(software verify --all -o json));
is($read->{exit}, 1, 'verify: as a viewer, too');
my @same = grep { ($_->{where} // '') ne $masked } @{$r->{json}};
is_deeply([grep { $_->{where} ne $masked } @{$read->{json}}], \@same,
    'verify: a viewer sees the same');
is_deeply([map { "$_->{state}: $_->{reason}" } grep { $_->{where} eq $masked }
    @{$read->{json}}],
    ['unreadable: its URL has a password, which is for operators'],
    'verify: but gets no password');
is($s->gbctl(@reader, qw(software get 9.0.0 -O), "$dir/got")->{exit}, 4,
    'get: nor does one who would download it');

# A file is there before its software is committed: that is waited for.
my $adds = $s->psql;
$adds->query('BEGIN');
$adds->query('SELECT goosebit.store_lock()');
$adds->query("INSERT INTO goosebit.software (tenant_id, name, version,
        version_key, format, filename, size, sha256, sha1, md5)
    SELECT tenant_id, name, '9.9.9', version_key, format, 'lost.swu', 4,
        'ab' || repeat('c', 62), sha1, md5
    FROM goosebit.software LIMIT 1");
my $child = fork // die;
if ($child == 0) {
    my $states = join ' ', sort map { $_->{state} }
        @{$s->gbctl(@reader, qw(software verify --all -o json))->{json}};
    spew("$dir/states", $states);
    POSIX::_exit(0);
}
ok(wait_for(sub { $s->value("SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND NOT granted") }), 'verify: waits');
$adds->query('COMMIT');
waitpid $child, 0;
unlike(slurp("$dir/states"), qr/unknown/, 'verify: and knows whose it is');
like(slurp("$dir/states"), qr/missing/, 'verify: with the rest');
$s->sql("DELETE FROM goosebit.software WHERE version = '9.9.9'");

is(gbctl('verify', '--all', '1')->{exit}, 2, 'verify: software and --all');
is(gbctl('verify')->{exit}, 2, 'verify: neither');
is(gbctl('verify', '99')->{exit}, 1, 'verify: not found');


# names as everywhere

my $named = make_swu('named.swu', '-V', '77.0', '-n', 'demo');
for my $bad ('', "a\nb", 'x' x 256) {
    is(error('add', $named, '--name', $bad)->{code}, 'invalid', 'add: no name');
}
is(error('add', $named, '--min-version', '')->{code}, 'invalid',
    'add: no least version');


# get

rename "$dir/moved.swu", "$dir/remote.swu";
is(gbctl('get', '9.0.0', '-O', "$dir/got")->{exit}, 0, 'get: by URL');
is(slurp("$dir/got"), slurp("$dir/remote.swu"), 'get: the same bytes');

($id) = map { $_->{id} } grep { $_->{hardware}[0]{model} eq 'other' }
    @{json('list')};
spew("$dir/got", 'before');
is(error('get', $id, '-O', "$dir/got")->{code}, 'damaged', 'get: damaged');
is(slurp("$dir/got"), 'before', 'get: what was there stays');
is(gbctl('get', $id, '-O', "$dir/no/such")->{exit}, 1,
    'get: no such directory');
is_deeply([glob "$dir/.gb-*"], [], 'get: nothing is left over');
unlink $s->artifacts . "/$elsewhere_file";
is(error('get', $id, '-O', "$dir/got")->{code}, 'not_found',
    'get: missing');

# "-O /dev/null" put a file in the place of /dev/null

my ($link, $pipe) = map { "$dir/$_" } qw(link pipe);
spew("$dir/aim", 'before');
symlink 'aim', $link;
POSIX::mkfifo($pipe, 0600);
is(gbctl('get', '9.0.0', '-O', $link)->{exit}, 0, 'get: through a link');
ok(-l $link, 'get: which stays');
is(slurp("$dir/aim"), slurp("$dir/remote.swu"), 'get: the same bytes');
$child = fork // die;
exec 'timeout', 10, 'cp', $pipe, "$dir/piped" if !$child;
is(gbctl('get', '9.0.0', '-O', $pipe)->{exit}, 0, 'get: to a pipe');
ok(-p $pipe, 'get: which stays');
waitpid $child, 0;
is(slurp("$dir/piped"), slurp("$dir/remote.swu"), 'get: the same bytes');

my $here = Cwd::getcwd();
my $bin = Cwd::abs_path($s->env->{GBCTL});
($id) = map { $_->{id} } grep { $_->{version} eq '9.0.0' } @{json('list')};
my %sub = (%{$s->env}, GBCTL => $bin);
my $cwd = tempdir;
chdir $cwd;
$r = do { local %ENV = (%ENV, %sub); run([$bin, 'software', 'get', $id]) };
my $again = do { local %ENV = (%ENV, %sub);
    run([$bin, 'software', 'get', $id]) };
chdir $here;
is($r->{exit}, 0, 'get: under its own name');
is(slurp("$cwd/remote.swu"), slurp("$dir/remote.swu"), 'get: the same bytes');
is($again->{exit}, 1, 'get: which is not overwritten unasked');
like($again->{err}, qr/^hint: -O FILE/m, 'get: with a hint');


# restore: what is in use can be neither deleted nor added, but mended

{
    my $image = make_swu('mend.swu', '-V', '88.0', '-n', 'mend', '-s', 5000);
    gbctl('add', $image);
    my $rollout = $s->gbctl(qw(rollout create --software 88.0 --feed mend));
    my ($stored) = map { $s->artifacts . "/$_" } grep { /mend\.swu/ } stored();
    rename $image, "$dir/from-backup";
    my $restore = sub { gbctl('restore', "$dir/from-backup") };
    my $state = sub { json('verify', '88.0')->[0]{state} };

    spew($stored, 'x');
    is(gbctl('delete', '88.0', '-y')->{exit}, 1, 'restore: it is in use');
    is(gbctl('add', "$dir/from-backup")->{exit}, 1, 'restore: and there');
    is($s->gbctl({ env => { PGUSER => 'reader' } }, qw(software restore),
        "$dir/from-backup")->{exit}, 4, 'restore: not for who only reads');
    is($state->(), 'damaged', 'restore: who changed nothing');
    like($restore->()->{out}, qr/^ *\d+ +mend +88\.0 +mend\.swu /m,
        'restore: says what');
    is($state->(), 'ok', 'restore: mended, of another name');
    unlink $stored;
    rmdir $stored =~ s{/[^/]+$}{}r;
    is($restore->()->{exit}, 0, 'restore: what is lost');
    is($state->(), 'ok', 'restore: is there again');
    like(gbctl('restore', "$dir/from-backup", $named)->{err},
        qr/named\.swu: is no stored software's\nhint: .*software add/,
        'restore: of no software');
    is(scalar(grep { /named/ } stored()), 0, 'restore: and not stored');
    is_deeply([glob $s->artifacts . '/.gb-*'], [], 'restore: nothing half');
}

done_testing;
