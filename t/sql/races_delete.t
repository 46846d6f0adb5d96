# What deletes, and whoever needs what is deleted, do to each other, each with
# real sessions.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(nginx => 0, fsync => 'off');

# Settings of a tenant that another deletes: not a broken rule of a table.

{
    my ($first, $second) = map { $s->psql } 1 .. 2;
    for my $call (q{tenant_set('%s', '{"auth": "off"}')},
                  q{tenant_delete('%s', false)})
    {
        $s->sql("select goosebit_admin.tenant_add('gone')");
        $first->query('begin');
        $first->query("select goosebit_admin.tenant_delete('gone', false)");
        $second->send("select goosebit_admin." . sprintf $call, 'gone');
        ok($second->blocked($s), "$call: waits for who deletes it");
        $first->query('commit');
        like($second->result, qr/GB001: tenant "gone": not found/,
            "$call: and finds it gone");
    }
}


# Who gives something to a tenant, or uses a software, that another deletes: not
# found, and no broken key. The one who waits is seen to wait.

sub deleted_meanwhile {
    my ($delete, $want, @calls) = @_;
    my ($first, $second) = map { $s->psql } 1 .. 2;
    $first->query($_) for 'begin', $delete;
    $second->query($_) for 'begin', @calls[0 .. $#calls - 1];
    $second->send($calls[-1]);
    ok(wait_for(sub { $s->value('select count(*) from pg_locks
        where not granted') == 1 }), "$calls[-1] waits");
    $first->query('commit');
    like($second->result, qr/\AERROR: +GB001: $want: not found$/m,
        'and finds it gone');
    $second->query('rollback');
}

subtest 'a tenant is deleted meanwhile' => sub {
    my $image = '{"name": "n", "version": "1", "format": "swu", "filename": "f",'
        . ' "size": 1, "hardware": [], "sha256": "' . 'a' x 64 . '", "sha1": "'
        . 'a' x 40 . '", "md5": "' . 'a' x 32 . '"}';
    for my $calls (
        ["select goosebit_admin.device_add('gone', 'd', null, null, null, null,"
            . " '{}')"],
        ['select goosebit_admin.device_import_begin()',
            "insert into pg_temp.goosebit_import (line, id) values (2, 'd')",
            "select goosebit_admin.device_import('gone', 'f', '{id}')"],
        ["select goosebit_admin.import_devices('gone', '[{\"id\": \"d\"}]')"],
        ["select goosebit_admin.software_add('gone', '$image')"])
    {
        $s->sql("select goosebit_admin.tenant_add('gone')");
        deleted_meanwhile("select goosebit_admin.tenant_delete('gone', true)",
            'tenant "gone"', @$calls);
    }
};

subtest 'a software is deleted meanwhile' => sub {
    $s->sql("insert into goosebit.device (tenant_id, controller_id)
        values (1, 'assigned')");
    for my $call ("rollout_create('default', '7.0', '{}')",
        "device_assign('default', '{assigned}', '7.0', 'soft', false)")
    {
        $s->sql(<<'SQL');
insert into goosebit.software (tenant_id, name, version, version_key, format,
    filename, size, sha256, sha1, md5)
values (1, 'os', '7.0', goosebit.version_key('7.0'), 'swu', 'a.swu', 1,
    repeat('a', 64), repeat('b', 40), repeat('c', 32))
SQL
        deleted_meanwhile("select goosebit_admin.software_delete('default',"
            . " '{7.0}')", 'software "7.0"', "select goosebit_admin.$call");
    }
};

done_testing;
