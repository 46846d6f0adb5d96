use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::PgTap qw(run_files);

my @files = sort glob 't/sql/*.sql';

plan skip_all => 'no pgTAP files' if !@files;

my $s = stack(nginx => 0, fsync => 'off');

run_files($s, @files);
done_testing;
