package Goosebit::CBOR;

# As much CBOR (RFC 8949) as tests need: encode(DATA) writes definite lengths,
# text for every string that is no reference, integers for those that
# integer() wraps; decode(BYTES) reads any item of known kinds and dies on
# bytes that are left.

use strict;
use warnings;

use Encode ();
use Exporter qw(import);
use JSON::PP ();

our @EXPORT_OK = qw(encode decode integer raw);


sub integer { bless [$_[0]], 'Goosebit::CBOR::Integer' }
sub raw { bless [$_[0]], 'Goosebit::CBOR::Raw' }


sub head {
    my ($major, $n) = @_;
    $major <<= 5;
    return $n < 24 ? pack 'C', $major | $n
        : $n < 256 ? pack 'CC', $major | 24, $n
        : $n < 65536 ? pack 'Cn', $major | 25, $n
        : $n < 2 ** 32 ? pack 'CN', $major | 26, $n
        : pack 'CQ>', $major | 27, $n;
}


sub encode {
    my ($data) = @_;
    my $kind = ref $data;

    return "\xf6" if !defined $data;
    return $data->[0] if $kind eq 'Goosebit::CBOR::Raw';
    return $data->[0] < 0 ? head(1, -1 - $data->[0]) : head(0, $data->[0])
        if $kind eq 'Goosebit::CBOR::Integer';
    return $data ? "\xf5" : "\xf4" if JSON::PP::is_bool($data);
    return join '', head(4, scalar @$data), map { encode($_) } @$data
        if $kind eq 'ARRAY';
    return join '', head(5, scalar keys %$data),
        map { (encode($_), encode($data->{$_})) } sort keys %$data
        if $kind eq 'HASH';

    my $bytes = Encode::encode('UTF-8', $data);
    return head(3, length $bytes) . $bytes;
}


sub decode {
    my ($bytes) = @_;
    my $pos = 0;
    my $value = item(\$bytes, \$pos);
    die 'bytes are left' if $pos != length $bytes;
    return $value;
}


sub item {
    my ($bytes, $pos) = @_;
    my $first = unpack 'C', take($bytes, $pos, 1);
    my ($major, $n) = ($first >> 5, $first & 31);

    if ($n >= 24) {
        my ($len, $form) = @{{ 24 => [1, 'C'], 25 => [2, 'n'], 26 => [4, 'N'],
            27 => [8, 'Q>'] }->{$n} // die 'not written by us'};
        $n = unpack $form, take($bytes, $pos, $len);
    }

    return $n if $major == 0;
    return -1 - $n if $major == 1;
    return Encode::decode('UTF-8', take($bytes, $pos, $n), Encode::FB_CROAK)
        if $major == 3;
    return [map { item($bytes, $pos) } 1 .. $n] if $major == 4;
    return +{ map { (item($bytes, $pos), item($bytes, $pos)) } 1 .. $n }
        if $major == 5;
    return { 20 => JSON::PP::false, 21 => JSON::PP::true }->{$n}
        // die 'not written by us' if $major == 7;
    die 'not written by us';
}


sub take {
    my ($bytes, $pos, $n) = @_;
    die 'cut off' if $$pos + $n > length $$bytes;
    my $part = substr $$bytes, $$pos, $n;
    $$pos += $n;
    return $part;
}


1;
