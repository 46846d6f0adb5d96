package Goosebit::Conf;

# What nginx says of a configuration, without starting it.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp ();

use Goosebit::Test ();


# check(STACK, FILE): {exit, err} of nginx -t
sub check {
    my ($s, $file) = @_;
    my $dir = File::Temp->newdir('gbn.XXXXXX', TMPDIR => 1);
    my @asan;

    if ($ENV{GB_ASAN}) {
        my @libs = map { abs_path(`gcc -print-file-name=$_` =~ s/\n//r) }
            qw(libasan.so libubsan.so);
        @asan = ('env', "LD_PRELOAD=@libs", 'ASAN_OPTIONS=detect_leaks=0');
    }
    return Goosebit::Test::run([@asan, 'nginx', '-t', '-p', $s->dir . '/',
        '-e', "$dir/error.log", '-c', $file]);
}


1;
