#!/usr/bin/perl
# The object store that other tests use is a real one: it believes nobody who
# does not know the secret.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;
use Goosebit::S3;

my $s3 = Goosebit::S3->new;
my $key = '/artifacts/a%20b/c';

sub code { $_[0]{body} =~ m{<Code>(\w+)</Code>} ? $1 : '' }

is($s3->request('PUT', $key, body => 'hello')->{status}, 200, 'put');
is($s3->request('GET', $key)->{body}, 'hello', 'get');
is_deeply([$s3->keys], ['a b/c'], 'list');

my $r = $s3->request('GET', $key, secret => 'another');
is($r->{status}, 403, 'another secret: 403');
is(code($r), 'SignatureDoesNotMatch', 'and says why');

$r = $s3->request('GET', $key, access => 'NOBODY');
ok($r->{status} >= 400, "another key: $r->{status}");
unlike($r->{body}, qr/hello/, 'and not a byte of it');

$r = Goosebit::HTTP->new(port => $s3->port)->request('GET', $key, close => 1);
is($r->{status}, 403, 'no signature: 403');

$r = $s3->request('PUT', $key, body => 'bye', headers => [
    'x-amz-content-sha256' => '0' x 64]);
isnt($r->{status}, 200, 'another digest than the signed one is refused');
is($s3->request('GET', $key)->{body}, 'hello', 'and nothing is changed');

$r = $s3->request('GET', $key, headers => [Range => 'bytes=1-2']);
is($r->{status}, 206, 'a range: 206');
is($r->{body}, 'el', 'of these bytes');

is($s3->request('GET', '/nobody/x')->{status}, 404, 'another bucket: 404');
is($s3->request('DELETE', $key)->{status}, 204, 'delete');
is_deeply([$s3->keys], [], 'gone');

$s3->stop;
ok($s3->start, 'stopped and started at the same port');
is_deeply([$s3->keys], [], 'with the same bucket');

done_testing;
