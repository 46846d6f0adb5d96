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

my $p = Goosebit::Pair->new(workers => 1, http => 'goosebit_cache'
    . ' zone=fleet:64m huge_pages=on; goosebit_sync 1s;');
my $s = $p->first;


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
