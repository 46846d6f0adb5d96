#!/usr/bin/perl
# gbctl software add where things go wrong: a full disk, a bound on file sizes,
# and kill -9 before each step of its way. Nothing is ever half stored.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Cwd ();
use Digest::SHA;
use File::Find;
use POSIX ();

my $s = stack(nginx => 0, fsync => 'off');
my $dir = tempdir;

sub add { $s->gbctl('software', 'add', @_) }

sub make {
    my ($version, $size) = @_;
    my $file = "$dir/$version.swu";
    system('t/lib/fixtures/make-swu', '-o', $file, '-V', $version, '-s',
        $size) == 0 or die "make-swu failed\n";
    return $file;
}

sub files {
    my ($root) = @_;
    my @files;
    find(sub { push @files, $File::Find::name if -f }, $root) if -d $root;
    return @files;
}

# What is wrong in the store and the database, in words.
sub wrong {
    my ($root) = @_;
    my @wrong;
    for my $file (files($root)) {
        my ($digest) = $file =~ m{/(../[0-9a-f]{62})/[^/]+\z};
        if (defined $digest) {
            $digest =~ s{/}{};
            push @wrong, "$file is not whole" if Digest::SHA->new(256)
                ->addfile($file)->hexdigest ne $digest;
        } elsif ($file !~ m{/\.gb-\w+\z}) {
            push @wrong, "$file has no place";
        }
    }
    my $check = $s->gbctl('db', 'check', '-o', 'json')->{json};
    push @wrong, map { "$_->{kind} $_->{object}: $_->{damage}" } @$check;
    return @wrong;
}


# a bound on file sizes, and a full disk: an error, and nothing is left

my $big = make('1.0.0', 400_000);

my $r = run(['bash', '-c', 'ulimit -f 200; exec "$@"', 'bash', 'env',
    (map { "$_=" . $s->env->{$_} } keys %{$s->env}), $s->env->{GBCTL},
    'software', 'add', $big]);
is($r->{exit}, 1, 'a bound on file sizes: exit 1');
like($r->{err}, qr/^gbctl: .*cannot be written: File too large$/,
    'and says so');
is_deeply([files($s->artifacts), wrong($s->artifacts)], [],
    'nothing is left');

SKIP: {
    my $small = "$dir/small";
    mkdir $small;
    skip 'no tmpfs to be mounted here', 4 if $> != 0 || run(['mount', '-t',
        'tmpfs', '-o', 'size=100k', 'tmpfs', $small])->{exit};
    my $env = { env => { GOOSEBIT_ARTIFACTS_DIR => "$small/store" } };
    my $full = $s->gbctl($env, 'software', 'add', $big);
    my @left = files($small);
    my $fits = $s->gbctl($env, 'software', 'add', make('0.0.1', 4000));
    run(['umount', $small]);

    is($full->{exit}, 1, 'a full disk: exit 1');
    like($full->{err}, qr/No space left on device$/, 'and says so');
    is_deeply(\@left, [], 'nothing is left');
    is($fits->{exit}, 0, 'what fits is taken after that');
    $s->gbctl('software', 'delete', '0.0.1');
    $s->sql('DELETE FROM goosebit.software');
}


# ^C takes away what is half written: it is stopped in the middle, so that the
# signal finds it there

my $lib = "$dir/killat.so";
is(system('cc', '-shared', '-fPIC', '-O1', '-o', $lib,
    't/lib/fixtures/killat.c', '-ldl'), 0, 'a library that kills');

sub interrupted {
    my ($signal, $glob, $cwd, @args) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        my $gbctl = Cwd::abs_path($s->env->{GBCTL});
        %ENV = (%ENV, %{$s->env}, LD_PRELOAD => $lib, KILLAT => 2,
            KILLAT_CALL => 'write', KILLAT_SIGNAL => POSIX::SIGSTOP());
        $ENV{ASAN_OPTIONS} .= ':verify_asan_link_order=0' if $ENV{GB_ASAN};
        chdir $cwd;
        $SIG{$signal} = 'DEFAULT';
        { no warnings; exec $gbctl, 'software', @args; }
        POSIX::_exit(127);
    }
    wait_for { waitpid($pid, POSIX::WNOHANG() | POSIX::WUNTRACED()) } 60;
    my @there = glob $glob;
    kill $_ => $pid for $signal, 'CONT';
    waitpid $pid, 0;
    is($? & 127, { INT => 2, TERM => 15 }->{$signal},
        "$args[0]: ended by SIG$signal");
    is(scalar @there, 1, "$args[0]: in the middle of a file");
    is_deeply([glob $glob], [], "$args[0]: which is gone");
}

{
    my $huge = make('3.0.0', 4 * 1024 * 1024);
    interrupted(INT => $s->artifacts . '/.gb-*', '.', 'add', $huge);
    is(add('-q', $huge)->{exit}, 0, 'added after all');
    mkdir "$dir/get";
    interrupted($_ => "$dir/get/.gb-*", "$dir/get", 'get', '3.0.0') for qw(INT TERM);
    is($s->gbctl(qw(-q software delete 3.0.0))->{exit}, 0, 'and deleted');
}


# kill -9 before each step

SKIP: {
    skip 'a sanitizer wants to be the first library', 1 if $ENV{GB_ASAN};
    my $file = make('2.0.0', 300_000);
    my (%steps, @bad, $n, $killed);
    my $left = 0;

    for ($n = 1; $n < 200; $n++) {
        $r = $s->gbctl({ env => { LD_PRELOAD => $lib, KILLAT => $n,
            KILLAT_LOG => "$dir/step" } }, 'software', 'add', $file);
        last if $r->{signal} == 0;
        chomp(my $step = slurp("$dir/step"));
        $steps{$step}++;

        # The file may be there, whole, and its software not yet.
        my @wrong = wrong($s->artifacts);
        $left++ if grep { /belongs to no software/ } @wrong;
        push @bad, "$n $step: db check"
            if $s->gbctl('db', 'check')->{exit} != 0;
        push @bad, "$n $step: $_"
            for grep { !/belongs to no software/ } @wrong;
        $killed++;

        # Killed after its commit was sent: there already.
        $s->gbctl('-q', 'software', 'delete', '2.0.0')
            if $s->value('SELECT count(*) FROM goosebit.software');
    }

    is($r->{exit}, 0, 'without a kill it is added');
    cmp_ok($killed, '>=', 15, "killed $killed times");
    ok($steps{$_}, "also before $_")
        for qw(mkostemp write fsync mkdir rename send);
    is_deeply(\@bad, [], 'nothing was half stored');
    cmp_ok($left, '<', 10, 'a whole file without software is seldom');
    is_deeply([wrong($s->artifacts)], [], 'and in the end all is well');
    is(scalar(files($s->artifacts)), 1, 'with one file');
    is($s->gbctl('software', 'verify', '--all')->{exit}, 0, 'verified');
}

done_testing;
