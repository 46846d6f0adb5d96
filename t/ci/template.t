#!/usr/bin/perl
# Templates of clusters that nobody has used for a while go; not those that are
# being copied, and never a lock that somebody may wait for.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../../ci/lib";
use Goosebit::Test;
use Stack::Pg;

use Fcntl qw(:flock);

my $cache = tempdir;
for my $key (qw(old used own young)) {
    mkdir "$cache/$key";
    spew("$cache/$key.lock", '');
    utime time - 3600, time - 3600, "$cache/$key" if $key ne 'young';
}
open my $used, '<', "$cache/used.lock" or die;
flock $used, LOCK_SH;
open my $waits, '<', "$cache/old.lock" or die;

Stack::Pg::prune_templates($cache, 'own');
is(join(' ', map { m{([^/]+)$} } grep { -d } glob "$cache/*"),
    'own used young', 'one is gone');

flock $waits, LOCK_EX;
open my $later, '<', "$cache/old.lock" or die "$cache/old.lock: $!\n";
ok(!flock($later, LOCK_EX | LOCK_NB), 'who has its lock is alone with it');

done_testing;
