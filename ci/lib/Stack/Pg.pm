package Stack::Pg;

# PostgreSQL's part of a stack: the cached template, start, stop.

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use Fcntl qw(:flock);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use Stack::Util;

our @EXPORT = qw(pg_place from_template pg_conf pg_start pg_stop pg_pid);

my $memory = '/dev/shm';


# The cluster lies in DIR unless PostgreSQL's user can't get there.
sub pg_place {
    my ($s) = @_;

    # A cluster has 1400 files, and an ext4 without a journal looks at each
    # inode that was freed within minutes before it gives one: a second of CPU
    # time where tests make one cluster after the other.
    return tempdir('gb.XXXXXX', DIR => $memory)
        if $ENV{GB_MEMORY} && memory_has_room();
    return $s->{open} ? "$s->{dir}/pg" : "$s->{socket}.pg";
}


# One takes 50 MB, and a GB of WAL at worst. Containers often give 64 MB.
sub memory_has_room {
    my ($rc, $out) = run({ may_fail => 1 }, 'df', '--output=avail', '-k',
        $memory);
    my ($disk) = $out =~ /^\s*(\d+)$/m;
    my ($free) = (slurp('/proc/meminfo') // '') =~ /^MemAvailable:\s+(\d+)/m;
    return $rc == 0 && ($disk // 0) > 2 << 20 && ($free // 0) > 4 << 20;
}


# A migrated cluster is made once for each gbctl and copied after.
sub from_template {
    my ($s) = @_;
    my $init = $ENV{GB_NO_INIT} ? 'empty' : 'gbctl';
    my @from = (__FILE__, $init eq 'gbctl' ? $s->{gbctl} : ());
    my $key = substr sha256_hex(join "\0", $init, $>, pgbin(),
        map { ($_, slurp($_)) } sort @from), 0, 16;
    my $cache = "$build/pgtemplate";

    eval { make_path($cache) };
    if (!-w $cache || !open my $probe, '>>', "$cache/$key.lock") {
        return make_template($s, $init);
    }

    open my $lock, '>>', "$cache/$key.lock" or die "$cache/$key.lock: $!\n";
    flock $lock, LOCK_SH;

    if (!-d "$cache/$key") {
        flock $lock, LOCK_EX;
        if (!-d "$cache/$key") {
            make_template($s, $init);
            remove_tree("$cache/$key.new");
            run({}, 'cp', '-a', "$s->{pg}/data", "$cache/$key.new");
            rename "$cache/$key.new", "$cache/$key" or die "$cache/$key: $!\n";
            prune_templates($cache, $key);
            return;
        }
        flock $lock, LOCK_SH;
    }

    run({}, 'cp', '-a', '--reflink=auto', "$cache/$key", "$s->{pg}/data");
}


# Locks stay: who waits at one that is gone would make a template beside those
# who come later, and find a new one.
sub prune_templates {
    my ($cache, $key) = @_;

    for my $dir (grep { -d } glob "\Q$cache\E/*") {
        next if $dir eq "$cache/$key" || -M $dir < 1 / 96;
        open my $lock, '>>', "$dir.lock" or next;
        flock($lock, LOCK_EX | LOCK_NB) or next;
        remove_tree($dir);
    }
}


sub make_template {
    my ($s, $init) = @_;
    my $data = "$s->{pg}/data";

    run({ postgres => 1 }, 'initdb', '-D', $data, '-U', 'postgres', '-A',
        'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync',
        '--no-instructions');

    my $conf = slurp("$data/postgresql.conf");
    pg_conf($s, 'fsync = off');
    pg_start($s);

    my $db = { env => {
        PGHOST => $s->{socket}, PGUSER => 'postgres', PGDATABASE => 'goosebit',
        # Of no stack in particular, as the next one has other tenants.
        GOOSEBIT_CONFIG => '/dev/null',
    } };
    run({ env => { %{$db->{env}}, PGDATABASE => 'postgres' } }, 'psql',
        '-Xqc', 'create database goosebit');

    if ($init eq 'gbctl') {
        run($db, $s->{gbctl}, '--db',
            "postgres:///goosebit?host=$s->{socket}", 'db', 'init');
    }

    pg_stop($s, 'fast');
    unlink "$data/stack.conf";
}


sub pg_conf {
    my ($s, @more) = @_;
    my $data = "$s->{pg}/data";
    my $conf = slurp("$data/postgresql.conf");

    if ($conf !~ /^include_if_exists = 'stack.conf'/m) {
        $conf .= "\ninclude_if_exists = 'stack.conf'\n";
        spew("$data/postgresql.conf", $conf);
        chown $pguid, $pggid, "$data/postgresql.conf" if $asroot;
    }

    spew("$data/stack.conf", join "\n",
        "listen_addresses = ''",
        "unix_socket_directories = '$s->{socket}'",
        'max_connections = 200',
        'shared_buffers = 64MB',
        "timezone = 'UTC'",
        "log_timezone = 'UTC'",
        "log_line_prefix = '%m [%p] %q%u@%d '",
        (($ENV{GB_FSYNC} // 'on') eq 'off'
            ? ('fsync = off', 'full_page_writes = off') : ()),
        @more, $ENV{GB_PG_CONF} // '', '');
    chown $pguid, $pggid, "$data/stack.conf" if $asroot;
}


# Not by pg_ctl, which looks only each tenth of a second whether it runs.
sub pg_start {
    my ($s) = @_;
    my $log = "$s->{pg}/postgresql.log";

    # A dead postmaster that nobody has reaped looks alive to PostgreSQL.
    if (!pg_pid($s)) {
        pg_gone($s);
        unlink "$s->{pg}/data/postmaster.pid";
    }

    my $pid = detach({ postgres => 1 }, 'sh', '-c',
        'umask 077; exec postgres -D "$1" >> "$2" 2>&1', 'sh',
        "$s->{pg}/data", $log);
    my $until = time + 60;

    until (pg_is_ready($s, $pid)) {
        next if waitpid($pid, WNOHANG) == 0 && time < $until && sleep 0.005;
        kill QUIT => $pid;
        my $text = slurp($log) // '';
        die "PostgreSQL did not start:\n" . substr $text, -2000;
    }
}


# Line 8 of the file has its state.
sub pg_is_ready {
    my ($s, $pid) = @_;
    my @line = split /\n/, slurp("$s->{pg}/data/postmaster.pid") // '';
    return @line > 7 && $line[0] eq $pid && $line[7] =~ /^ready/;
}


sub pg_stop {
    my ($s, $how) = @_;
    my $pid = pg_pid($s) // return pg_gone($s);
    my $until = time + 60;

    kill(($how eq 'fast' ? 'INT' : 'QUIT'), $pid);
    while (pg_pid($s) && time < $until) {
        sleep 0.02;
    }
    kill KILL => $pid if pg_pid($s);
    pg_gone($s);
}


# Waits for what a killed postmaster leaves: it notices that and ends, but until
# then no other may have the cluster.
sub pg_gone {
    my ($s) = @_;
    my $data = abs_path(($s->{pg} // return) . '/data') // return;
    my $until = time + 60;

    while (my @left = grep { (readlink "$_/cwd" // '') eq $data
        && (readlink "$_/exe" // '') =~ m{/postgres\b} } glob '/proc/[0-9]*')
    {
        kill KILL => map { m{(\d+)} } @left if time > $until;
        sleep 0.01;
    }
}


sub pg_pid {
    my ($s) = @_;
    my $data = ($s->{pg} // return) . '/data';
    my ($pid) = (slurp("$data/postmaster.pid") // '') =~ /^(\d+)/ or return;
    return (readlink "/proc/$pid/cwd" // '') eq (abs_path($data) // '')
        ? $pid : undef;
}


1;
