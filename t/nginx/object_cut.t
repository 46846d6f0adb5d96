# A store that breaks off or sends something else: a device gets the right bytes
# as far as they go, and an end that it sees; nothing of it stays in the cache.

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/lib";
use Goosebit::Test;
use Goosebit::Device;
use Goosebit::S3;

use IO::Socket::INET;

my $s3 = Goosebit::S3->new;
my $dir = tempdir();
my $listen = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1')
    or die "listen: $!\n";
my $slice = 65_536;
my $s = stack(fsync => 'off', workers => 1, yaml => $s3->yaml,
    http => 'proxy_cache_path @DIR@/tmp/cache keys_zone=objects:1m;
        upstream s3 { server 127.0.0.1:' . $listen->sockport . '; }',
    server => <<"CONF");
goosebit_object_store \@objects;
location \@objects {
    slice $slice;
    proxy_cache objects;
    proxy_cache_key \$arg_try\$goosebit_object_uri\$slice_range;
    proxy_cache_valid 200 206 1h;
    proxy_http_version 1.1;
    proxy_set_header Range \$slice_range;
    @{[$s3->proxy('s3')]}
}
CONF

my ($bytes, $size, $url, $try);

# The headers that end with these, and a body, of the slice that is asked for.
my %does = (
    right => sub { answer(@_) },
    short => sub { answer(@_[0, 1], substr($_[2], 0, 1000), length $_[2]) },
    unsaid => sub { answer(@_[0, 1], substr($_[2], 0, 1000), undef) },
    less => sub { answer(@_[0, 1], substr $_[2], 0, 1000) },
    bigger => sub { answer($_[0], $size + 5, $_[2]) },
    whole => sub { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsomething" },
    away => sub { "HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nslow" },
);

sub answer {
    my ($from, $all, $body, $length) = @_;
    $length = length $body if @_ < 4;
    return sprintf "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n"
        . "Content-Range: bytes %d-%d/%d\r\n%s\r\n%s", $from,
        ($from + $slice > $size ? $size : $from + $slice) - 1, $all,
        defined $length ? "Content-Length: $length\r\n" : '', $body;
}

# What is to happen from which slice on is in the file "does".
sub serve {
    while (my $c = $listen->accept) {
        my $request = '';
        while ($request !~ /\r\n\r\n/) {
            sysread $c, $request, 4096, length $request or last;
        }
        my ($from) = $request =~ /^Range: bytes=(\d+)-/mi or next;
        my ($does, $slice_no) = split ' ', slurp("$dir/does");
        $does = 'right' if $from < $slice_no * $slice;
        syswrite $c, $does{$does}->($from, $size, substr $bytes, $from, $slice);
    }
}

# All that comes until the connection ends, which stays open if all is well.
sub ask {
    my $http = $s->http;
    $http->send_request('GET', "$url?try=$try");
    eval { $http->_fill_until(sub { $http->{buffer} =~ /\r\n\r\n/
        && length($http->{buffer}) - $+[0]
            == ($http->{buffer} =~ /^Content-Length: (\d+)/mi)[0] }); 1 }
        or return ('no end', '');
    my ($head, $body) = split /\r\n\r\n/, $http->{buffer}, 2;
    return (($head =~ m{^HTTP/1.1 (\d+)})[0], $body);
}

my $image = Goosebit::Device::image($s, '2.0.0', size => 200_000);
$bytes = $image->{bytes};
$size = length $bytes;
my $last = int(($size - 1) / $slice);

my $pid = fork // die "fork: $!\n";
if ($pid == 0) {
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
    serve();
    POSIX::_exit(0);
}

Goosebit::Device::rollout($s, $image->{id});
my $d = Goosebit::Device->new($s, 'dev');
$d->register;
($url) = $d->get('deploymentBase', $d->action)->{json}{deployment}{chunks}[0]
    {artifacts}[0]{_links}{download}{href} =~ m{^http://[^/]+(/.*)};

for (['short', 'breaks off', 'prematurely closed connection'],
    ['unsaid', 'does not say how much', 'Content-Length -1 of ".*swu" is not'],
    ['less', 'says less', 'Content-Length 1000 of ".*swu" is not that of "by'],
    ['bigger', 'has more', "has @{[$size + 5]} bytes of .* instead of $size"],
    ['whole', 'has another', '(?:has 9 bytes of|unexpected status code 200)'],
    ['away', 'is busy', '503 (?:instead of "/.*swu"|in slice response)'])
{
    my ($does, $name, $log) = @$_;
    for my $from (0, 1, $last) {
        my $was = length $s->error_log;
        $try++;                                 # a cache that has nothing
        spew("$dir/does", "$does $from");
        my ($status, $body) = ask();
        my $want = substr $bytes, 0, $from * $slice;
        $want .= substr $bytes, length $want, 1000 if $does eq 'short';

        is($status, length $want ? 200 : 503, "slice $from: the store $name");
        ok($body eq $want, 'the bytes before it');
        my $said = substr $s->error_log, $was;
        like($said, qr/\[error\].*$log/, 'is logged');
        like($said, qr/ends, as the store has left out \d+ bytes of "\/.*swu"/,
            'and what it meant') if $does eq 'short' && $from;

        spew("$dir/does", 'right 0');
        ($status, $body) = ask();
        ok($status == 200 && $body eq $bytes, 'and nothing of it was kept');
    }
}

done_testing;

END {
    if ($pid) {
        local $?;
        kill KILL => $pid;
        waitpid $pid, 0;
    }
}
