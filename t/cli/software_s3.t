#!/usr/bin/perl
# gbctl software with storage.backend s3, against a store that verifies
# signatures: images go into bucket and database together, or not at all.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../e2e/lib";
use Goosebit::Proxy;
use Goosebit::Test;
use Goosebit::S3;

use Digest::SHA;
use feature "state";
use JSON::PP;

my $s3 = Goosebit::S3->new;
my $s = stack(fsync => 'off', nginx => 0, yaml => $s3->yaml);
my $dir = tempdir;
my $MIB = 1024 * 1024;

sub make_swu {
    my ($name, @args) = @_;
    is(system('t/lib/fixtures/make-swu', '-o', "$dir/$name", @args), 0,
        "made $name");
    return "$dir/$name";
}

sub gbctl { $s->gbctl(ref $_[0] ? shift : (), 'software', @_) }
sub json { gbctl(@_, '-o', 'json')->{json} }
sub sha { Digest::SHA->new(256)->addfile($_[0])->hexdigest }
sub key { sprintf '%s/%s/%s', unpack('a2 a*', sha($_[0])), $_[0] =~ s{.*/}{}r }

# A file of settings of its own.
sub settings {
    my (%opt) = @_;
    state $n = 0;
    spew("$dir/" . ++$n . '.yaml', $s3->yaml(%opt));
    return { env => { GOOSEBIT_CONFIG => "$dir/$n.yaml" } };
}

# Adds beside the test, as far as the third part, which PROXY holds: its process.
sub add_beside {
    my ($proxy, $file) = @_;
    my $settings = settings(endpoint_url => $proxy->url);
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        %ENV = (%ENV, %{$s->env}, %{$settings->{env}});
        open STDOUT, '>', '/dev/null';
        { no warnings; exec $ENV{GBCTL}, 'software', 'add', $file; }
        POSIX::_exit(127);
    }
    ok(wait_for(sub { $proxy->seen(qr/^held /) }), 'two parts are there');
    return $pid;
}

# Parts that were uploaded since OFFSET of the server's log.
sub parts {
    my ($offset) = @_;
    return scalar(() = substr($s3->log, $offset) =~ /PUT/g);
}


# add, one part

my $one = make_swu('one +ü.swu', '-V', '1.0.0', '-n', 'demo');
my $r = gbctl('add', $one);
is($r->{exit}, 0, 'add: exit 0') or diag($r->{err});
is($r->{err}, '', 'add: without a word');
like($r->{out}, qr/^\s*1\s+1\.0\.0\s+swu\s+demo\s+board 1\.0\s/m,
    'add: says id, version, format, hardware');
is_deeply([$s3->keys], [key($one)], 'add: stored under its digest');
is_deeply([$s3->uploads], [], 'add: nothing is pending');
(my $path = key($one)) =~ s/([^A-Za-z0-9._~\/-])/sprintf '%%%02X', ord $1/ge;
is($s3->request('GET', "/artifacts/$path")->{body}, slurp($one),
    'add: the same bytes');
ok(!-e $s->artifacts || !glob($s->artifacts . '/??/*'),
    'add: no copy in the directory');


# add, many parts, with a bar on a terminal

my $big = make_swu('big.swu', '-V', '2.0.0', '-n', 'demo', '-s', 20 * $MIB);
$r = gbctl({ pty => 80 }, 'add', $big);
is($r->{exit}, 0, 'parts: exit 0') or diag($r->{out});
like($r->{out}, qr/big\.swu.*MiB/, 'parts: a bar on a terminal');
is_deeply([$s3->keys], [sort { $a cmp $b } key($one), key($big)],
    'parts: one object');
my $got = $s3->request('GET', '/artifacts/' . key($big));
is(Digest::SHA::sha256_hex($got->{body}), sha($big), 'parts: the same bytes');
like($got->{headers}{etag}, qr/-3"/, 'parts: 8 MiB each');


# conflicts leave the bucket as it was, and are known before uploading

my @before = $s3->keys;
my $other = make_swu('other.swu', '-V', '1.0.0', '-s', '5000');
my $log = length $s3->log;
$r = gbctl('add', $other);
is($r->{exit}, 1, 'conflict: exit 1');
like($r->{err}, qr/^gbctl: other\.swu: software 1 has version 1\.0\.0/,
    'conflict: says with what');
is(length $s3->log, $log, 'conflict: the store was not asked at all');
is_deeply([$s3->keys], \@before, 'conflict: the bucket is unchanged');

my $fresh = make_swu('fresh.swu', '-V', '3.0.0');
is(gbctl('add', $fresh, $other)->{exit}, 1, 'two files, one a conflict');
is_deeply([$s3->keys], \@before, 'neither is stored');
is_deeply([$s3->uploads], [], 'nothing is pending');

$log = length $s3->log;
is(gbctl('add', '--dry-run', $fresh)->{exit}, 0, 'dry run: exit 0');
is(length $s3->log, $log, 'dry run: the store was not asked at all');

$s->sql('ALTER TABLE goosebit.software_hardware ADD CONSTRAINT no
    CHECK (false) NOT VALID');
isnt(gbctl('add', $fresh)->{exit}, 0, 'the registration fails');
is_deeply([$s3->keys, $s3->uploads], \@before, 'and leaves nothing');
$s->sql('ALTER TABLE goosebit.software_hardware DROP CONSTRAINT no');

$s->sql(<<'SQL');
CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE CONSTRAINT TRIGGER no AFTER INSERT ON goosebit.software
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no();
SQL
isnt(gbctl('add', $fresh)->{exit}, 0, 'the commit fails');
is_deeply([$s3->keys, $s3->uploads], \@before,
    'the completed object is gone again');
$s->sql('DROP FUNCTION public.no() CASCADE');


# what is wrong is said in one line, without secrets

for (['another secret', qr/"artifacts": SignatureDoesNotMatch: /,
        secret_access_key => 'geheim/geheim'],
    ['an unknown key', qr/"artifacts": \w+: /, access_key_id => 'NOBODY'],
    ['no such bucket', qr/"nowhere": NoSuchBucket: /, bucket => 'nowhere'],
    ['another region', qr/"artifacts": AuthorizationHeaderMalformed: .*us-east/,
        region => 'eu-north-7'],
    ['nobody there', qr/"artifacts": .*(?:connect|refused)/i,
        endpoint_url => 'http://127.0.0.1:1'],
    ['no key', qr/storage\.s3\.access_key_id is not set/,
        access_key_id => ''])
{
    my ($name, $like, %opt) = @$_;
    $r = gbctl(settings(%opt), 'add', $fresh);
    is($r->{exit}, 1, "$name: exit 1");
    like($r->{err}, qr/^gbctl: .*$like.*$/, "$name: a clear word");
    is(scalar(() = $r->{err} =~ /\n/g), 1, "$name: one line");
    unlike($r->{err}, qr/geheim|\Q$s3->{secret}\E/, "$name: no secret");
    is($s->value("SELECT count(*) FROM goosebit.software
        WHERE version = '3.0.0'"), 0, "$name: nothing registered");
}


# gbctl is killed in the middle: the next one goes on

my $huge = make_swu('huge.swu', '-V', '4.0.0', '-s', 24 * $MIB);
my $proxy = Goosebit::Proxy->new($s3->port, hold => qr/^PUT .*partNumber=3&/);
$log = length $s3->log;
my $pid = add_beside($proxy, $huge);
kill KILL => $pid;
waitpid $pid, 0;
is($?, 9, 'killed');
$proxy->stop;
is(parts($log), 2, 'killed: two parts are left');
is_deeply([$s3->keys], \@before, 'killed: and no object');
is_deeply([$s3->uploads], [key($huge)], 'killed: but an upload');

$r = $s->gbctl(qw(db check -o json));
is($r->{exit}, 0, 'db check: an upload is no damage');
my ($upload) = grep { $_->{kind} eq 'upload' } @{$r->{json}};
is($upload->{object}, sha($huge) . '/huge.swu', 'but is shown');
like($upload->{damage}, qr/^was begun at 20\S+ and not completed$/, 'with when');
like($r->{err}, qr/^1 upload has not ended: .*--end-uploads/m, 'and a word');
is($s->gbctl(qw(db check --end-uploads 1h))->{exit}, 0, 'older ones are ended');
is_deeply([$s3->uploads], [key($huge)], 'not this one');

$log = length $s3->log;
is(gbctl('add', $huge)->{exit}, 0, 'resumed: exit 0');
is(parts($log), 2, 'resumed: only what was missing was sent');
is(Digest::SHA::sha256_hex($s3->request('GET', '/artifacts/' . key($huge))
    ->{body}), sha($huge), 'resumed: the same bytes');
is_deeply([$s3->uploads], [], 'resumed: nothing is pending');


# parts that are not these bytes are sent again

my $rest = make_swu('rest.swu', '-V', '5.0.0', '-s', 9 * $MIB);
for (1, 2) {
    my $begun = $s3->request('POST', '/artifacts/' . key($rest) . '?uploads=');
    my ($id) = $begun->{body} =~ m{<UploadId>([^<]+)<};
    is($s3->request('PUT', '/artifacts/' . key($rest)
        . "?partNumber=1&uploadId=$id", body => 'x' x (8 * $MIB))->{status},
        200, 'an upload with a wrong part');
}
is(gbctl('add', $rest)->{exit}, 0, 'wrong part: exit 0');
is(Digest::SHA::sha256_hex($s3->request('GET', '/artifacts/' . key($rest))
    ->{body}), sha($rest), 'wrong part: the right bytes');
is_deeply([$s3->uploads], [], 'wrong part: both uploads have ended');


# uploads that nobody goes on with, and somebody else's

my $old = '/artifacts/' . key($rest) =~ s/rest/old/r;
$s3->request('POST', "$old$_?uploads=") for 1 .. 3;
$s3->request('POST', '/artifacts/foreign?uploads=');
is(scalar(my @open = $s3->uploads), 4, 'uploads that were begun');
sleep 2.1;
$r = $s->gbctl(qw(db check --end-uploads 1s -o json));
is($r->{exit}, 0, 'ended') or diag $r->{err};
is(scalar(grep { $_->{kind} eq 'upload' && $_->{damage} =~ /, is ended now$/ }
    @{$r->{json}}), 3, 'each is said');
is_deeply([$s3->uploads], ['foreign'], 'what is not ours stays');
is($s->gbctl(qw(db check --end-uploads soon))->{exit}, 2, 'an age is wanted');


# the server goes away and comes back

my $back = make_swu('back.swu', '-V', '6.0.0', '-s', 24 * $MIB);
$proxy = Goosebit::Proxy->new($s3->port, hold => qr/^PUT .*partNumber=3&/);
$pid = add_beside($proxy, $back);
$s3->stop;
$proxy->release;
ok(wait_for(sub { $proxy->seen(qr/^no server/) }), 'server: missed');
# It tries again for three seconds, which a start may need here.
kill STOP => $pid;
ok($s3->start, 'server: killed and started');
kill CONT => $pid;
waitpid $pid, 0;
is($?, 0, 'server: the upload went on');
$proxy->stop;
is(json('verify', '6.0.0')->[0]{state}, 'ok', 'server: and is whole');

$s3->stop;
my $start = time;
$r = gbctl('verify', '6.0.0');
my $alone = time - $start;
is($r->{exit}, 1, 'verify: no server is exit 1');
like($r->{out}, qr/unreadable/, 'verify: that is not damage');
like($r->{err}, qr/^gbctl: 1 of 1 can't be read$/, 'verify: nor is it said so');

$start = time;
$r = gbctl('verify', '--all', '-o', 'json');
cmp_ok(time - $start, '<', 3 * $alone, 'verify all: it is not waited for by each');
is($r->{exit}, 1, 'verify all: no server is exit 1');
is_deeply([map { $_->{state} } @{$r->{json}}],
    [('unreadable') x @{json('list')}], 'and yet each is listed');
like($r->{err}, qr/"code":"io_error".*(\d+) of \1 can't be read, what else is/,
    'and both said');
is(scalar(() = $r->{err} =~ /\n/g), 1, 'in one line');

$r = gbctl('delete', '6.0.0', '5.0.0');
is($r->{exit}, 1, 'delete: no server is exit 1');
like($r->{err}, qr/\Agbctl: \w+\.swu is of no software and stays in the store: S3.*
hint: "gbctl db check --remove-files" removes it\n\z/, 'and says what to do');
is_deeply([grep { $_->{version} =~ /^[56]/ } @{json('list')}], [],
    'the software is gone');
$s3->start;

my $files = [map { s{/}{}r } sort { $a cmp $b } key($back), key($rest)];
$r = $s->gbctl(qw(db check --remove-files));
is($r->{exit}, 1, 'files of nobody: asked before they are removed');
like($r->{err}, qr/remove 2 stored files that are of no software of the data/,
    'with how many');
is(scalar(grep { /back|rest/ } $s3->keys), 2, 'they are there yet');
$r = $s->gbctl(qw(db check --remove-files -y -o json));
is($r->{exit}, 0, 'removed') or diag $r->{err};
is_deeply([map { "$_->{object} $_->{damage}" } grep { $_->{kind} eq 'file' }
    @{$r->{json}}], [map { "$_ belongs to no software, is removed now" } @$files],
    'each is said');
is(scalar(grep { /back|rest/ } $s3->keys), 0, 'they are gone');
is(scalar(@{json('verify', '--all')}), @{json('list')}, 'and all others there');
is($s->gbctl(qw(db check --remove-files))->{exit}, 0, 'none: not asked');


# verify, get

$r = gbctl('verify', '--all', '-o', 'json');
is($r->{exit}, 0, 'verify: all is well') or diag($r->{out});
is_deeply([map { $_->{state} } @{$r->{json}}],
    [('ok') x @{json('list')}], 'verify: each is ok');

is($s->gbctl('software', 'get', '1', '-O', "$dir/copy")->{exit}, 0,
    'get: exit 0');
is(slurp("$dir/copy"), slurp($one), 'get: the same bytes');
is(gbctl('get', '1', '-O', '-')->{out}, slurp($one), 'get: to stdout');

my $k = key($big);
$s3->request('PUT', "/artifacts/$k", body => 'x' x 100);
$s3->request('DELETE', "/artifacts/$path");
$s3->request('PUT', '/artifacts/' . ('ab/' . 'c' x 62) . '/lost.swu',
    body => 'lost');
$s3->request('PUT', '/artifacts/somebody/elses', body => 'x');

$r = gbctl('verify', '--all', '-o', 'json');
is($r->{exit}, 1, 'verify: exit 1');
is_deeply([map { $_->{where} =~ /lost/ ? [undef, @$_{qw(state where)}]
        : [@$_{qw(id state)}] } grep { $_->{state} ne 'ok' } @{$r->{json}}],
    [[1, 'missing'], [2, 'damaged'],
        [undef, 'unknown', 'ab/' . 'c' x 62 . '/lost.swu']],
    'verify: names the missing, the damaged, and what is nobody\'s');
like($r->{err}, qr/2 of \d+ are not what they were/, 'verify: counts them');

$r = gbctl('get', '2', '-O', "$dir/bad");
is($r->{exit}, 1, 'get: damaged: exit 1');
like($r->{err}, qr/SHA-256 is/, 'get: says so');
ok(!-e "$dir/bad", 'get: and leaves no file');
is_deeply([glob "$dir/.gb-*"], [], 'get: of no name');
like(gbctl('get', '1', '-O', "$dir/bad")->{err}, qr/NoSuchKey/,
    'get: missing is said');


# restore

is(gbctl('restore', $one, $big)->{exit}, 0, 'restore: exit 0');
is_deeply([map { $_->{state} } @{json('verify', '1', '2')}], ['ok', 'ok'],
    'restore: the missing and the damaged');
is_deeply([grep { $_ ne 'foreign' } $s3->uploads], [],
    'restore: nothing is pending');
$s3->request('DELETE', "/artifacts/$path");


# delete

is(gbctl('delete', '2')->{exit}, 0, 'delete: exit 0');
is(scalar(grep { $_ eq key($big) } $s3->keys), 0, 'delete: object is gone');
is(gbctl('delete', '1')->{exit}, 0, 'delete: what is missing already');

$s->sql("INSERT INTO goosebit.tenant (name) VALUES ('Two')");
is(gbctl('add', $one)->{exit}, 0, 'added again');
is($s->gbctl('-t', 'two', 'software', 'add', $one)->{exit}, 0,
    'added by another tenant');
my ($id) = map { $_->{id} } grep { $_->{sha256} eq sha($one) }
    @{json('list')};
is(gbctl('delete', $id)->{exit}, 0, 'deleted by one');
is(scalar(grep { $_ eq key($one) } $s3->keys), 1,
    'the other still has the object');

done_testing;
