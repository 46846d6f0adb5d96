package Bench;

# What the benchmarks share: a stack that goes away with the program, wrk,
# gbpoll and gbload, and CPU seconds of the servers and of PostgreSQL.

use strict;
use warnings;

use Exporter 'import';
use File::Temp qw(tempdir);
use JSON::PP;
use POSIX ();

our @EXPORT = qw(%env $tmp $dir out up cpu lua wrk gbpoll gbload median ratios
    machine);

our (%env, $tmp, $dir);
my $tick = POSIX::sysconf(&POSIX::_SC_CLK_TCK);
my $owner = $$;

$tmp = tempdir('gbbench.XXXXXX', TMPDIR => 1, CLEANUP => 1);
$dir = "$tmp/stack";
chmod 0755, $tmp;
$SIG{INT} = $SIG{TERM} = sub { exit 1 };

END {
    if ($$ == $owner) {
        my $rc = $?;
        system 'ci/stack', 'down', $dir if -e $dir;
        $? = $rc;
    }
}


# The output of a program, and its exit code.
sub out {
    my (@cmd) = @_;
    open my $fh, '-|', @cmd or die "$cmd[0]: $!\n";
    my $text = do { local $/; <$fh> } // '';
    close $fh;
    return wantarray ? ($text, $? >> 8) : $text;
}


# Starts the stack, with GB_* set by the caller.
sub up {
    system('ci/stack', 'up', $dir) == 0 or exit 1;
    %env = map { /^(\w+)=(.*)$/ ? ($1, $2) : () }
        split /\n/, scalar out('ci/stack', 'env', $dir);
    $ENV{$_} = $env{$_} for grep { /^(?:PG[A-Z]|GOOSEBIT_)/ } keys %env;
}


# CPU seconds so far: nginx's workers, all of PostgreSQL's processes, and the
# one process of another server (OTHER_PID of %env).
sub cpu {
    my %sum = (nginx => 0, postgres => 0, other => 0);
    my $other = $env{OTHER_PID} // 0;

    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my $line = <$fh> // next;
        my ($pid, $name, $rest) = $line =~ /^(\d+) \((.*)\) (.*)$/ or next;
        my @f = split ' ', $rest;
        my $own = ($f[11] + $f[12]) / $tick;

        if ($f[1] == $env{NGINX_PID}) {
            $sum{nginx} += $own;

        } elsif ($f[1] == $env{PG_PID}) {
            $sum{postgres} += $own;

        } elsif ($pid == $env{PG_PID}) {
            $sum{postgres} += $own + ($f[13] + $f[14]) / $tick;

        } elsif ($pid == $other) {
            $sum{other} += $own;
        }
    }
    return \%sum;
}


# A script for wrk, as $tmp/NAME.lua, with the done() that wrk() wants.
sub lua {
    my ($name, $text) = @_;
    open my $lua, '>', "$tmp/$name.lua" or die "$tmp/$name.lua: $!\n";
    print $lua $text, <<'LUA';

function done(summary, latency, requests)
    io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests,
        summary.duration, summary.errors.status + summary.errors.connect
        + summary.errors.read + summary.errors.write + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
LUA
    close $lua;
}


# Runs wrk with a Lua script of lua(), and gives {requests,
# seconds, failed, p50_ms, p99_ms}.
sub wrk {
    my ($script, $clients, $seconds, @args) = @_;
    my $text = out('wrk', '-t1', "-c$clients", "-d${seconds}s", '-s', $script,
        $env{GOOSEBIT_URL}, '--', @args);
    my ($n, $us, $bad, $p50, $p99) = $text =~ /^RESULT ([\d ]+)$/m
        ? split ' ', $1 : die "wrk: $text\n";
    return { requests => $n, seconds => $us / 1e6, failed => $bad,
        p50_ms => $p50 / 1e3, p99_ms => $p99 / 1e3 };
}


# The same of gbpoll (t/tools), which costs the machine less: RATE requests a
# second, or 0, of PREFIX and a number up to COUNT.
sub gbpoll {
    my ($clients, $seconds, $rate, @args) = @_;
    my @range = $args[0] eq '-r' ? splice(@args, 0, 2) : ();
    my ($text) = out('build/tools/gbpoll', @range, at(), $clients, $seconds,
        $rate, @args);
    return eval { decode_json($text) } // die "gbpoll: $text\n";
}


# gbload's steps (`register`, `cycle`) of so many devices, and its exit code.
sub gbload {
    my ($steps, @args) = @_;
    my ($text, $rc) = out('build/tools/gbload', $steps, at(), @args);
    my $r = eval { decode_json($text) }
        // die "gbload $steps @args: exit $rc\n";
    return ($r, $rc);
}


# Host and port of who is asked.
sub at { $env{GOOSEBIT_URL} =~ m{^http://([^:/]*):(\d+)} }


sub median {
    my (@v) = sort { $a <=> $b } @_;
    return @v % 2 ? $v[@v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}


# What is measured by turns is compared by rounds: what the machine does to one
# it does to its neighbour.
sub ratios {
    my ($key, $these, $those) = @_;
    return map { $these->[$_]{$key} / $those->[$_]{$key} } 0 .. $#$those;
}


# The machine and the versions, as lines.
sub machine {
    my ($model) = out('sh', '-c', 'grep -m1 "model name" /proc/cpuinfo')
        =~ /: (.*)/;
    my ($nginx) = out('sh', '-c', 'nginx -v 2>&1') =~ m{(nginx/\S+)};
    return { cpu => $model // 'unknown', cores => 0 + out('nproc'),
        kernel => out('uname', '-r') =~ s/\n//r, nginx => $nginx,
        postgresql => out('psql', '-XAtc', 'show server_version') =~ s/\n//r };
}


1;
