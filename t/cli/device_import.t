#!/usr/bin/perl
# gbctl device import and export: a fleet as CSV.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::Fleet;

use Digest::SHA qw(sha256_hex);
use JSON::PP;

my $s = stack(fsync => 'off');
my $f = Goosebit::Fleet->new($s);
my $dir = tempdir;

sub gbctl { $s->gbctl('device', @_) }
sub show { gbctl('show', shift, '-o', 'json')->{json} }
sub csv {
    my ($text, @args) = @_;
    spew("$dir/f.csv", $text);
    return gbctl('import', "$dir/f.csv", @args);
}
sub fleet { $s->value(q{SELECT string_agg(d::text || COALESCE(c::text, ''), '/'
    ORDER BY controller_id) FROM goosebit.device d
    LEFT JOIN goosebit.device_attributes c ON c.device_id = d.id}) // '' }


# adds

my $text = "\xef\xbb\xbf" . 'id,name,token,hw_model,hw_revision,sw_version,feed,'
    . "mode,tags,attr.region,attr.two words\r\n"
    . qq{a,"Anna, ""A""",s3cret,board,r1,1.0,prod,pinned,lab;x y,eu,"1\n2"\r\n}
    . qq{b,,,,,,,,,,\r\n\r\n}
    . qq{"c d",C\\,,board,,,,latest,"[""two words"",""z""]",,\r\n};
my $r = csv($text, '--dry-run');
is($r->{exit}, 0, 'dry run: exit 0') or diag $r->{err};
like($r->{out}, qr/^a +added\nb +added\nc d +added\n/m, 'dry run: whom');
is($r->{err}, "dry run: 3 devices added, 0 updated, 0 so already\n",
    'dry run: says so');
is(fleet(), '', 'dry run: nothing is done');
is($s->value('SELECT count(*) FROM goosebit.audit'), 0, 'and nothing audited');

$r = csv($text);
is($r->{exit}, 0, 'import: exit 0') or diag $r->{err};
is($r->{out}, '', 'import: no rows on a terminal');
is($r->{err}, "3 devices added, 0 updated, 0 so already\n", 'says how many');
my $a = show('a');
is_deeply([@$a{qw(name hw_model hw_revision sw_version feed mode state auth
    target_version)}], ['Anna, "A"', 'board', 'r1', '1.0', 'prod', 'pinned',
    'registered', 'token', undef], 'its fields');
is_deeply($a->{tags}, ['lab', 'x', 'y'], 'its tags');
is_deeply($a->{attributes}, { region => 'eu', 'two words' => "1\n2" },
    'its attributes');
ok($a->{registered}, 'with hardware and version it counts as registered');
is($s->value(q{SELECT encode(token, 'hex') FROM goosebit.device
    WHERE controller_id = 'a'}), sha256_hex('s3cret'), 'its token\'s digest');
my $b = show('b');
is_deeply([@$b{qw(name hw_model sw_version feed mode state auth registered)}],
    [undef, 'default', undef, 'default', 'rollout', 'unknown', 'none', undef],
    'defaults');
is(show('c d')->{name}, 'C\\', 'a backslash');
is_deeply(show('c d')->{tags}, ['two words', 'z'], 'tags as JSON');
is(show('c d')->{registered}, undef, 'without a version it does not count');
is_deeply([$s->sql('SELECT verb, object FROM goosebit.audit ORDER BY object')],
    [map { ['device.add', $_] } 'a', 'b', 'c d'], 'audited');
unlike($s->value(q{SELECT string_agg(a::text, '') FROM goosebit.audit a}),
    qr/s3cret|@{[sha256_hex('s3cret')]}/, 'without the token');
gbctl('unpin', 'a');
is(show('a')->{mode}, 'rollout', 'unpin has where to go');


# the same again, updates, columns that are not there

gbctl('pin', 'a');
my $before = fleet();
is(csv($text)->{err}, "0 devices added, 0 updated, 3 so already\n", 'again');
is(fleet(), $before, 'changes nothing');

$r = csv("attr.region,id,sw_version\n,a,\nus,b,2.0\nus,n,2.0\n", '-o', 'json');
is_deeply($r->{json}, [{ id => 'a', result => 'updated' },
    { id => 'b', result => 'updated' }, { id => 'n', result => 'added' }],
    'as JSON');
is_deeply(show('a')->{attributes}, { 'two words' => "1\n2" },
    'an empty attribute is taken away');
is(show('a')->{sw_version}, '1.0', 'an empty version says nothing');
is(show('a')->{name}, 'Anna, "A"', 'what is no column stays');
is(show('a')->{auth}, 'token', 'so does the token');
is(show('b')->{sw_version}, '2.0', 'updated');
is_deeply(decode_json($s->value(q{SELECT after FROM goosebit.audit
    WHERE object = 'b' ORDER BY id DESC LIMIT 1})),
    { sw_version => '2.0', attributes => { region => 'us' } },
    'audited: what changed');
csv("id,name,tags\na,,\n");
is_deeply([@{show('a')}{qw(name tags)}], [undef, []],
    'empty names and tags are wanted so');
is(csv("id\nz1\n")->{err}, "1 device added, 0 updated, 0 so already\n",
    'ids alone');
$r = $s->gbctl({ stdin => "id\nz2\n" }, 'device', 'import', '-');
is($r->{err}, "1 device added, 0 updated, 0 so already\n", 'stdin');


# an update that is open

my $one = $f->software('1.0', 'board:r1');
my $two = $f->software('2.0', 'board:r1');
$s->gbctl('rollout', 'create', '--software', $_->[0], '--feed', $_->[1])
    for [$one, 'old'], [$two, 'new'];
$f->register('up', sw_version => '0.9');
gbctl('set', 'up', '--feed', 'old');
ok($f->fetch('up'), 'an action is open');
csv("id,feed\nup,new\n");
is(show('up')->{open_action}{state}, 'cancelling', 'its target went away');


# refused, as a whole, with file and line

$before = fleet();
my $long = 'x' x 256;
my @bad = (
    ['', qr/f\.csv: empty/],
    ["name\nx\n", qr/f\.csv:1: no column "id"/],
    ["id,nam\nq,x\n", qr/f\.csv:1: unknown column "nam", did you mean "name"/],
    ["id,id\nq,x\n", qr/f\.csv:1: column "id" is there twice/],
    ["id,attr.a,attr.a\nq,x,\n", qr/f\.csv:1: column "attr.a" is there twice/],
    ["id,attr.\nq,x\n", qr/f\.csv:1: unknown column "attr\."/],
    ["id,name\nq,x\nr\n", qr/f\.csv:3: 1 fields, the first line has 2/],
    ["id\nq\n\"r\n", qr/f\.csv:3: a quote is not closed/],
    ["id,name\nq,x\n,y\n", qr/f\.csv:3: the id is empty/],
    ["id\nq\nr\nq\n", qr/f\.csv:4: device "q" stands on line 2 already/],
    ["id,mode\nq,x\nr,latest\n", qr/f\.csv:2: mode: "x" is none of/],
    ["id\nq\n$long\n", qr/f\.csv:3: id: must have 1 to 255 bytes/],
    ["id,name\nq,\"a\nb\"\n", qr/f\.csv:2: name: must not have control/],
    ["id,tags\nq,\"[\"\"a\"\",\"\"\"\"]\"\n", qr/f\.csv:2: tag: must have 1/],
    ["id,tags\nq,[1]\n", qr/f\.csv:2: tags: neither/],
    ["id,token\nq,a b\n", qr/f\.csv:2: token: 1 to 255/],
    ["id,attr.a\nq,$long\n", qr/f\.csv:2: attr\.a: must have at most 255/],
    ["id\n\xff\n", qr/f\.csv:2: field 1 is not valid UTF-8/],
    ["id;name\nq;x\n", qr/f\.csv:1: unknown column "id;name": commas/]);
for (@bad) {
    my ($in, $why) = @$_;
    $r = csv($in);
    is($r->{exit}, 1, "refused: $why");
    like($r->{err}, qr/\Agbctl: [^\n]*$why[^\n]*\n\z/, 'one line, and why');
}
is(fleet(), $before, 'and nothing was done');
is(gbctl('import', "$dir/none.csv")->{exit}, 1, 'no such file');
is(gbctl('import')->{exit}, 2, 'no file: usage');


# rights

$s->sql('CREATE ROLE looker LOGIN IN ROLE goosebit_viewer');
$s->sql('CREATE ROLE worker LOGIN IN ROLE goosebit_operator');
my $as = sub { my ($who, @args) = @_; $s->gbctl({ env => { PGUSER => $who,
    GOOSEBIT_DB_URI => "postgresql:///goosebit?user=$who" } }, 'device',
    @args) };
spew("$dir/f.csv", "id\nq9\n");
is($as->('looker', 'import', "$dir/f.csv")->{exit}, 4, 'a viewer may not');
is($as->('looker', 'export')->{exit}, 0, 'but export');
is($as->('looker', 'list', '-o', 'jsonl')->{exit}, 0, 'and list as lines');
$r = $as->('worker', 'import', "$dir/f.csv");
is($r->{exit}, 0, 'an operator may import') or diag $r->{err};
like($s->sql_error(q{
    SET SESSION AUTHORIZATION worker;
    CREATE TEMP VIEW goosebit_import AS SELECT 1 AS line;
    SELECT * FROM goosebit_admin.device_import('DEFAULT', 'x', '{id}')}),
    qr/no import has begun/, 'a table of the caller\'s own is none');


# export, and back

$r = gbctl('export', '--filter', 'id=a or id="c d" or id=b');
is($r->{out}, "id,name,hw_model,hw_revision,sw_version,feed,mode,tags,"
    . "attr.region,attr.two words\r\n"
    . qq{a,,board,r1,1.0,prod,pinned,,,"1\n2"\r\n}
    . "b,,,default,2.0,default,rollout,,us,\r\n"
    . qq{c d,C\\,board,default,,default,latest,"[""two words"",""z""]",,\r\n},
    'export');
gbctl('set', 'b', '--tag', '+one', '--tag', '+two', '--name', "O'Neil, \"x\"");
# What a device says of itself an operator may not type: it comes back, too.
$f->register('said', hw_model => "a\nb\t", hw_revision => "\x{e4}" x 255,
    sw_version => "1.0\n");
my $all = gbctl('export')->{out};
is(csv($all)->{err} =~ s/\d+ so/N so/r,
    "0 devices added, 0 updated, N so already\n", 'its import changes nothing');
my @ids = map { $_->{id} } @{gbctl('list', '-o', 'json')->{json}};
gbctl('cancel', 'up', '--now');
gbctl('delete', @ids, '--yes');
is(gbctl('export')->{out}, "id,name,hw_model,hw_revision,sw_version,feed,mode,"
    . "tags\r\n", 'nobody left');
is(csv($all)->{exit}, 0, 'all back');
is(gbctl('export')->{out}, $all, 'as they were');
is(scalar(() = gbctl('export', '-o', 'jsonl')->{out} =~ /^\{.*\}$/mg),
    scalar @ids, 'as JSON lines');


# rows that are read grow as the file does, whatever statistics believe

my $many = stack(nginx => 0, fsync => 'off');
spew("$dir/many.csv", join '', "id,hw_model,hw_revision,sw_version,attr.at\n",
    map { "m$_,board,r1,1.0,eu\n" } 1 .. 3000);

sub entries_read {
    $many->value("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
        WHERE relname IN ('device', 'device_attributes')");
}

# What an index is searched for in vain is no entry read, but pages are.
sub pages_read {
    $many->value("SELECT sum(idx_blks_hit + idx_blks_read)
        FROM pg_statio_user_indexes
        WHERE relname IN ('device', 'device_attributes')");
}

# A session has told of its reading when it has gone.
sub all_told {
    ok(wait_for(sub { $many->value("SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend'") == 1 }), 'nobody else is there');
}

sub reads_little {
    my ($what, @args) = @_;
    all_told();
    my ($before, $pages) = (entries_read(), pages_read());
    is($many->gbctl('device', 'import', "$dir/many.csv", @args)->{exit}, 0,
        "many, $what: exit 0");
    all_told();
    my $read = entries_read() - $before;
    cmp_ok($read, '>', 0, "many, $what: reads");
    cmp_ok($read, '<', 300_000, "many, $what: but not each with each");
    cmp_ok(pages_read() - $pages, '<', 70_000, "many, $what: nor in pages");
}

$many->sql("ALTER TABLE goosebit.$_ SET (autovacuum_enabled = off)")
    for 'device', 'device_attributes';

# As autovacuum sees a table while an import fills it: pages without rows. The
# checks of foreign keys were then planned for an empty table, and 200000 rows
# took more than eight minutes.
my $filling = $many->psql;
$filling->query('BEGIN');
$filling->query("INSERT INTO goosebit.device (tenant_id, controller_id)
    SELECT 1, 'x' || n FROM generate_series(1, 3000) n");
$many->sql('ANALYZE goosebit.device');
$filling->query('ROLLBACK');
$filling->quit;
reads_little('added');
is($many->value("SELECT reltuples FROM pg_class
    WHERE oid = 'goosebit.device'::regclass"), 3000,
    'many, added: statistics know of them at once');

# A tenant that statistics don't know of.
$many->gbctl('tenant', 'add', 'Other');
$many->sql("ANALYZE goosebit.$_") for 'device', 'device_attributes';
$many->sql("WITH d AS (INSERT INTO goosebit.device (tenant_id, controller_id)
        SELECT t.id, 'm' || n FROM goosebit.tenant t, generate_series(1, 3000) n
        WHERE t.name = 'Other' RETURNING tenant_id, id)
    INSERT INTO goosebit.device_attributes (tenant_id, device_id, attributes)
    SELECT tenant_id, id, '{\"at\": \"us\"}' FROM d");
reads_little('updated', '-t', 'Other');

done_testing;
