package Goosebit::Test;

# What every test uses: Test::More, strict, stacks, and running programs.
#
#   use FindBin;
#   use lib "$FindBin::Bin/../lib";
#   use Goosebit::Test;
#
#   my $s = stack(yaml => "poll_time: 00:00:30\n");
#   is($s->get('/DEFAULT/controller/v1/a')->{status}, 200, 'poll');
#   done_testing;
#
# done_testing here ends all stacks, with their last assertions, first. Tests
# run in the repository's root. GB_KEEP=1 keeps the directories.

use strict;
use warnings;

use Cwd ();
use Exporter ();
use File::Basename qw(dirname);
use File::Temp ();
use POSIX ();
use Test::More import => ['!done_testing'];
use Time::HiRes qw(sleep time);

use Goosebit::Stack;

our @ISA = ('Exporter');
our @EXPORT = (
    (grep { $_ ne 'done_testing' } @Test::More::EXPORT),
    qw(done_testing stack run ended slurp spew tempdir wait_for ddi sleep time),
);

my $owner = $$;

chdir dirname(dirname(dirname(dirname(Cwd::abs_path(__FILE__)))));

# nginx frees nothing when it ends, nor does `nginx -t` that tests run.
$ENV{ASAN_OPTIONS} //= 'detect_leaks=0' if $ENV{GB_ASAN};

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };

# A test that works with what is undefined may pass and test nothing.
my @warnings;
$SIG{__WARN__} = sub { push @warnings, $_[0] if $$ == $owner; warn $_[0] };


# strict and warnings come along.
sub import {
    strict->import;
    warnings->import;
    my $class = shift;
    $class->export_to_level(1, $class, @_);
}


sub stack { Goosebit::Stack->new(@_) }


# The path of a device's resource: ddi('id', 'configData')
sub ddi {
    my ($id, @rest) = @_;
    $id =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return join '/', "/DEFAULT/controller/v1/$id", @rest;
}


# run([PROGRAM, ARGS], stdin => TEXT, timeout => 120, pty => COLUMNS):
# {out, err, exit, signal}. With pty it runs on a terminal and out has both.
sub run {
    my ($cmd, %opt) = @_;
    my @cmd = @$cmd;
    my %fh = map { $_ => File::Temp->new } qw(in out err);

    if ($opt{pty}) {
        my $line = join ' ', map { s/'/'\\''/gr =~ s/(.*)/'$1'/sr } @cmd;
        @cmd = ('script', '-qec', "stty cols $opt{pty}; $line", '/dev/null');
    }

    print {$fh{in}} $opt{stdin} if defined $opt{stdin};
    close $fh{in};

    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN, '<', $fh{in}->filename;
        open STDOUT, '>&', $fh{out};
        open STDERR, '>&', $fh{err};
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        { no warnings; exec { $cmd[0] } @cmd; }
        print STDERR "$cmd[0]: $!\n";
        POSIX::_exit(127);
    }

    my $timeout = $opt{timeout} // 120;
    my $rc = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        alarm $timeout;
        waitpid $pid, 0;
        alarm 0;
        $?;
    };
    if (!defined $rc) {
        kill KILL => $pid;
        waitpid $pid, 0;
        die "@cmd: not done within $timeout s\n" . slurp($fh{err}->filename);
    }

    my $out = slurp($fh{out}->filename);
    $out =~ s/\r\n/\n/g if $opt{pty};
    return { out => $out, err => slurp($fh{err}->filename),
        exit => $rc >> 8, signal => $rc & 127 };
}


# Whether a process has ended, reaped or not: what was a daemon's may be left
# for a second by init.
sub ended {
    my ($pid) = @_;
    open my $fh, '<', "/proc/$pid/stat" or return 1;
    return (<$fh> // '') !~ /^\d+ \(.*\) [^ZX]/;
}


sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar(<$fh>) // '';
}


sub spew {
    my ($file, $bytes) = @_;
    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $bytes;
    close $fh or die "$file: $!\n";
}


# A directory that goes when the test ends; others may enter it.
sub tempdir {
    my $dir = File::Temp::tempdir('gbt.XXXXXX', TMPDIR => 1,
        CLEANUP => $ENV{GB_KEEP} ? 0 : 1);
    chmod 0755, $dir;
    return $dir;
}


# A port of 127.0.0.1 that no client will have, as the stacks' own.
sub free_port {
    require './ci/lib/Stack/Port.pm';
    return Stack::Port::free_port('127.0.0.1');
}


# Waits for a condition: its value, or false after SECONDS (30). What Perl
# warns of counts in the last try only: one that comes too early may well find
# nothing defined.
sub wait_for(&;$) {
    my ($cond, $seconds) = @_;
    my $until = time + ($seconds // 30);
    for (;;) {
        my @warned;
        my $value = do {
            local $SIG{__WARN__} = sub { push @warned, @_ };
            $cond->();
        };
        if ($value || time > $until) {
            warn $_ for @warned;
            return $value || '';
        }
        sleep 0.02;
    }
}


sub done_testing {
    $_->stop for Goosebit::Stack::all();
    fail("Perl has warned: $_") for @warnings;
    Test::More::done_testing(@_);
}


# A test that dies must not leave servers behind.
END {
    if ($$ == $owner) {
        my $rc = $?;
        for my $s (Goosebit::Stack::all()) {
            diag("error.log:\n" . substr $s->error_log, -3000) if $rc != 0;
            $s->down;
        }
        $? = $rc;
    }
}


1;
