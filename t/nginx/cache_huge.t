#!/usr/bin/perl
# A zone in huge pages: the table stands in them, goes on over a reload and goes
# with the zone. `nginx -t` takes no memory for it.
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Conf;
use Goosebit::Pair;
use Goosebit::Test;
use POSIX ();

my $thp = '/sys/kernel/mm/transparent_hugepage';
my ($major, $minor) = (POSIX::uname())[2] =~ /^(\d+)\.(\d+)/;
plan skip_all => 'no Linux 6.1 with transparent huge pages'
    if $major * 1000 + $minor < 6001 || (-d '/sys/kernel/mm' && !-d $thp);

# Memory may be too scattered for them, or a container's kernel another: what
# this program does not get nginx would not, either.
plan skip_all => "no huge pages to be had: $!" if !huge(64);

my $p = Goosebit::Pair->new(workers => 1, http => 'goosebit_cache'
    . ' zone=fleet:64m huge_pages=on; goosebit_sync 1s;');
my $s = $p->first;


# huge(MB): whether so much shared memory can be had in huge pages; 1 as well
# where it is not known how to ask.
sub huge {
    my ($size) = map { $_ << 20 } @_;
    my $page = 2 << 20;
    my ($mmap, $madvise, $munmap) = @{{ x86_64 => [9, 28, 11],
        aarch64 => [222, 233, 215] }->{(POSIX::uname())[4]} // return 1};
    my $room = syscall($mmap, 0, $size + $page, 0, 0x22, -1, 0);
    my $at = ($room + $page - 1) & ~($page - 1);
    # read and write; shared, fixed, anonymous
    my $got = syscall($mmap, $at, $size, 3, 0x31, -1, 0) == $at
        && !grep { syscall($madvise, $at, $size, $_) } 23, 25;
    { local $!; syscall($munmap, $room, $size + $page) }
    return $got;
}


# How many KB of shared memory a process has, and how many of those it reaches
# by huge pages.
sub shared {
    my ($pid) = @_;
    my %kb = (Size => 0, ShmemPmdMapped => 0);
    my $zone = 0;
    for (split /\n/, slurp("/proc/$pid/smaps")) {
        $zone = m{/dev/zero} if /^[0-9a-f]+-/;
        $kb{$1} += $2 if $zone && /^(\w+): +(\d+) kB/ && exists $kb{$1};
    }
    return \%kb;
}


# Page faults of `nginx -t`.
sub faults {
    my ($file) = @_;
    my $seen = sub { (split ' ', slurp("/proc/$$/stat"))[10] };
    my $before = $seen->();
    my $r = Goosebit::Conf::check($s, $file);
    is($r->{exit}, 0, 'nginx -t') or diag($r->{err});
    return $seen->() - $before;
}


# Sets up the zone anew.
sub zone {
    my ($text) = @_;
    my $file = $s->dir . '/nginx.conf';
    spew($file, slurp($file) =~ s/goosebit_cache [^;]*;/goosebit_cache $text;/r);
    ok($s->reload, $text);
}


$p->device($_) for 'a' .. 'z';
$p->warm('a' .. 'z');
is($p->poll(0, $_)->{cache}, 'HIT', "$_ is answered from it") for qw(a m z);
cmp_ok(shared($s->workers)->{ShmemPmdMapped}, '>=', 2048,
    'where the worker looks are huge pages');
unlike(slurp($s->dir . '/logs/error.log'), qr/huge pages/, 'without a word');

ok($s->reload, 'a reload');
is($p->poll(0, 'a')->{cache}, 'HIT', 'keeps it');

# Twice, as what is mapped in its place must go as well.
zone("zone=fleet:${_}m huge_pages=on") for 32, 16;
cmp_ok(shared($s->pid)->{Size}, '<', 32 * 1024, 'the zones before are gone');
zone('zone=fleet:64m huge_pages=off');
cmp_ok(shared($s->workers)->{ShmemPmdMapped}, '==', 0, 'off');

my $conf = slurp($s->dir . '/nginx.conf');
my $dir = tempdir;
my %faults = map {
    my $file = "$dir/$_.conf";
    spew($file, $conf =~ s/huge_pages=off/huge_pages=$_/r);
    ($_ => faults($file));
} qw(on off);
cmp_ok($faults{on}, '<', $faults{off} + 4000, 'nginx -t takes no memory');

done_testing;
