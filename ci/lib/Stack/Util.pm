package Stack::Util;

# What the rooms of ci/stack share: where things are, files, programs, state.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use JSON::PP;
use POSIX ();

our @EXPORT = qw(detach fail pgbin run spew slurp state_read state_write
    $build $root $asroot $pguid $pggid);

our $root  = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
our $build = $ENV{GB_BUILD} // "$root/build";
our $asroot = $> == 0;
our ($pguid, $pggid) = $asroot
    ? (getpwnam('postgres'))[2, 3] : ($>, $) + 0);

my $json = JSON::PP->new->canonical->pretty;


sub fail {
    print STDERR "ci/stack: @_\n";
    exit 1;
}


sub pgbin {
    return $ENV{GB_PGBIN} if $ENV{GB_PGBIN};
    my ($dir) = sort { ($b =~ m{/(\d+)/bin})[0] <=> ($a =~ m{/(\d+)/bin})[0] }
        glob '/usr/lib/postgresql/*/bin';
    return $dir // fail("no PostgreSQL server: run ci/setup");
}


# Runs a program with its output collected; as PostgreSQL's user on demand,
# from "/" because that user may not enter the caller's directory.
sub run {
    my ($opt, @cmd) = @_;

    pipe my $r, my $w or fail("pipe: $!");
    my $pid = fork // fail("fork: $!");

    become($opt, $w, @cmd) if $pid == 0;
    close $w;
    my $out = do { local $/; <$r> } // '';
    waitpid $pid, 0;
    my $rc = $?;

    if ($rc != 0 && !$opt->{may_fail}) {
        die "$cmd[0] failed:\n$out";
    }
    return wantarray ? ($rc, $out) : $out;
}


# Starts one that stays, in a session of its own, without output.
sub detach {
    my ($opt, @cmd) = @_;

    my $pid = fork // fail("fork: $!");
    return $pid if $pid;
    POSIX::setsid();
    open my $w, '>', '/dev/null';
    become($opt, $w, @cmd);
}


sub become {
    my ($opt, $w, @cmd) = @_;

    open STDIN, '<', '/dev/null';
    open STDOUT, '>&', $w;
    open STDERR, '>&', $w;
    chdir '/';
    local %ENV = (%ENV, %{$opt->{env} // {}});
    if ($opt->{postgres} && $asroot) {
        unshift @cmd, 'setpriv', "--reuid=$pguid", "--regid=$pggid",
            '--init-groups', '--';
    }
    { no warnings; exec { $cmd[0] } @cmd; }
    print STDERR "$cmd[0]: $!\n";
    POSIX::_exit(127);
}


sub spew {
    my ($file, $text) = @_;
    open my $fh, '>', "$file.new" or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}


sub slurp {
    my ($file) = @_;
    open my $fh, '<', $file or return;
    local $/;
    return scalar <$fh>;
}


sub state_read {
    my ($dir) = @_;
    my $text = slurp("$dir/stack.json") // return;
    return eval { $json->decode($text) };
}


sub state_write {
    my ($s) = @_;
    spew("$s->{dir}/stack.json", $json->encode($s));
}


1;
