use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

# What Perl warns of fails a test file, but not while something is waited for.

my $dir = tempdir;

# How a test of this CODE ends.
sub ends {
    my ($code) = @_;
    spew("$dir/a.t", "use Goosebit::Test;\npass('one');\n$code;\ndone_testing;\n");
    return run([$^X, "-I$FindBin::Bin/../lib", "$dir/a.t"])->{exit};
}

is(ends('my $n = undef; ok($n == 0)'), 1, 'a warning');
is(ends('my $n; ok(wait_for { $n == 2 or $n++ && 0 })'), 0,
    'one of a try that came too early');
is(ends('my $n; ok(wait_for { $n == 0 })'), 1, 'one of the try that counts');
is(ends('my $n; ok(!wait_for { $n == 1 } 0)'), 1, 'one of the last in vain');

done_testing;
