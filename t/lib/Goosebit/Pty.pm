package Goosebit::Pty;

# gbctl on a terminal of its own, and what stands on its screen.
#
#   use Goosebit::Pty;
#   my $t = Goosebit::Pty->new($stack, 'status', '--watch');
#   ok($t->wait(qr/devices/), 'shows devices');   # looks at the screen
#   $t->resize(120, 40);
#   $t->send("\cZ");
#   like($t->stopped, qr/ echo /, 'stopped, and in these modes');
#   $t->fg;                     # or $t->signal('TERM')
#   $t->send("\cC");
#   is($t->end, 130, 'exit code, as a shell tells it');
#   is($t->screen, ...);
#
# script(1) holds the terminal; this understands of what is sent to it what
# gbctl sends, and dies on anything else.

use strict;
use warnings;

use File::Temp ();
use Goosebit::Test;
use IO::Select;
use IPC::Open2;


# The shell around it, with job control: gbctl is a group of its own on the
# terminal. Tells in what modes it stopped and ended; that it stopped also on
# the terminal, behind all that gbctl wrote.
my $shell = <<'PERL';
use POSIX ':sys_wait_h';
my ($dir, @cmd) = @ARGV;
sub modes { system "stty -a >$dir/new"; rename "$dir/new", "$dir/$_[0]" }
sub foreground { POSIX::tcsetpgrp(0, $_[0]) }
system "stty cols 80 rows 24; tty >$dir/tty";
my $pid = fork;
if ($pid == 0) {
    setpgrp 0, 0;
    $SIG{TTOU} = 'IGNORE';
    foreground($$);
    $SIG{TTOU} = 'DEFAULT';
    exec @cmd;
}
$SIG{TTOU} = 'IGNORE';
open my $fh, '>', "$dir/pid";
print $fh $pid;
close $fh;
while (waitpid($pid, WUNTRACED) == $pid && kill 0, $pid) {
    foreground(getpgrp);
    modes('stopped');
    syswrite STDOUT, "\eZ";
    select undef, undef, undef, 0.02 until -e "$dir/fg";
    unlink "$dir/fg", "$dir/stopped";
    foreground($pid);
    kill CONT => -$pid;
}
my $status = $?;
foreground(getpgrp);
modes('modes');
exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
PERL


sub new {
    my ($class, $stack, @args) = @_;
    my $dir = tempdir();
    my $gbctl = ($ENV{GB_ASAN} ? 'build/asan' : 'build') . '/gbctl';
    my $line = join ' ', map { s/'/'\\''/gr =~ s/(.*)/'$1'/sr } $gbctl, @args;
    my $self = bless { dir => $dir, cols => 80, rows => 24, raw => '',
        todo => '', main => undef }, $class;
    $self->_clear;

    local %ENV = ($stack->_clean_env, %{$stack->{env}}, TERM => 'xterm');
    delete $ENV{NO_COLOR};
    spew("$dir/run", $shell);
    $self->{pid} = open2(my $out, my $in, 'script', '-qefc',
        "perl $dir/run $dir $line", '/dev/null');
    @$self{qw(in out)} = ($in, $out);
    $in->autoflush;
    return $self;
}


sub send { my ($self, $keys) = @_; print {$self->{in}} $keys }


# All that was sent to the terminal; stty's modes after the end.
sub raw { $_[0]{raw} }
sub modes { slurp("$_[0]{dir}/modes") }


# Waits until it has stopped and all it wrote was read: stty's modes then, ""
# if it does not.
sub stopped {
    my ($self) = @_;
    my $until = time + 30;
    $self->_read(0.05) while time < $until && !$self->{stopped};
    return delete $self->{stopped} ? slurp("$self->{dir}/stopped") : '';
}


sub signal {
    my ($self, $signal) = @_;
    kill $signal => slurp("$self->{dir}/pid");
}


sub fg { spew("$_[0]{dir}/fg", '') }


sub resize {
    my ($self, $cols, $rows) = @_;
    chomp(my $tty = slurp("$self->{dir}/tty"));
    system('stty', '-F', $tty, 'cols', $cols, 'rows', $rows) == 0 or die;
    @$self{qw(cols rows)} = ($cols, $rows);
}


# What stands on the screen; whether it is the second, and shows the cursor.
sub screen {
    my ($self) = @_;
    my $text = join "\n", map { s/\s+\z//r } @{$self->{lines}};
    return $text =~ s/\n+\z/\n/r;
}
sub second { defined $_[0]{main} }
sub cursor { !$_[0]{hidden} }


# wait(REGEX [, SECONDS]): until the screen matches
sub wait {
    my ($self, $re, $seconds) = @_;
    my $until = time + ($seconds // 60);
    while (time < $until) {
        return 1 if $self->screen =~ $re;
        $self->_read(0.05) or return $self->screen =~ $re;
    }
    diag("on the screen:\n" . $self->screen);
    return 0;
}


# Reads to the end; the exit code.
sub end {
    my ($self) = @_;
    my $until = time + 60;
    1 while time < $until && $self->_read(0.1);
    close $self->{in};
    kill KILL => $self->{pid} if time >= $until;
    waitpid $self->{pid}, 0;
    return $? >> 8 || $? & 127;
}


sub _read {
    my ($self, $seconds) = @_;
    return 1 if !IO::Select->new($self->{out})->can_read($seconds);
    sysread $self->{out}, my $bytes, 65536 or return 0;
    $self->{raw} .= $bytes;
    $self->_show($bytes);
    return 1;
}


sub _clear { $_[0]{lines} = ['']; @{$_[0]}{qw(x y)} = (0, 0) }


sub _show {
    my ($self, $bytes) = @_;
    local $_ = $self->{todo} . $bytes;
    while (length) {
        if (s/\A\r//) { $self->{x} = 0 }
        elsif (s/\A\n//) { $self->{lines}[++$self->{y}] //= '' }
        elsif (s/\A\a//) { }
        elsif (s/\A\eZ//) { $self->{stopped} = 1 }
        elsif (s/\A\e\[\?1049h//) {
            $self->{main} = [@$self{qw(lines x y)}];
            $self->_clear;
        }
        elsif (s/\A\e\[\?1049l//) {
            @$self{qw(lines x y)} = @{delete $self->{main}};
        }
        elsif (s/\A\e\[\?25([hl])//) { $self->{hidden} = $1 eq 'l' }
        elsif (s/\A\e\[\?(?:7|2026)[hl]//) { }
        elsif (s/\A\e\[[0-9;]*m//) { }
        elsif (s/\A\e\[H//) { @$self{qw(x y)} = (0, 0) }
        elsif (s/\A\e\[K//) { $self->_cut }
        elsif (s/\A\e\[J//) { $self->_cut; $#{$self->{lines}} = $self->{y} }
        elsif (/\A\e(?:\[[0-9;?]*)?\z/) { last }
        elsif (s/\A([^\e\r\n\a])//) { $self->_put($1) }
        else { die 'a terminal would not know: ' . substr($_, 0, 20) }
    }
    $self->{todo} = $_;
}


sub _cut {
    my ($self) = @_;
    my $line = \$self->{lines}[$self->{y}];
    $$line = substr $$line, 0, $self->{x} if length $$line > $self->{x};
}


# What does not fit is lost, as where wrapping is off.
sub _put {
    my ($self, $char) = @_;
    my $line = \$self->{lines}[$self->{y}];
    return if $self->{x} >= $self->{cols} && defined $self->{main};
    $$line .= ' ' x ($self->{x} - length $$line) if length $$line < $self->{x};
    substr($$line, $self->{x}++, 1) = $char;
}


1;
