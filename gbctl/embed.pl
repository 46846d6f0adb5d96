#!/usr/bin/perl
# Turns sql/ into C: embed.pl OUT.c sql/roles.sql sql/functions/NAME.sql ...

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);

my ($out, @paths) = @ARGV;
my (@files, $code, %seen);

die "usage: embed.pl OUT.c FILE.sql...\n" if !@paths;

sub slurp {
    my $path = shift;
    open my $fh, '<:raw', $path or die "embed.pl: $path: $!\n";
    local $/;
    my $text = <$fh> // '';
    die "embed.pl: $path: holds a NUL byte\n" if $text =~ /\0/;
    return $text;
}

sub add {
    my ($kind, $number, $path) = @_;
    my ($name) = $path =~ m{([^/]+)$};
    my $text = slurp($path);
    push @files, [$kind, $number, $name, sha256_hex($text), $text];
    $code .= "$name " . sha256_hex($text) . "\n" if $kind ne 'MIGRATION';
}

$code = '';

add('ROLES', 0, $_) for grep { m{(^|/)roles\.sql$} } @paths;

for my $path (sort grep { m{/migrations/} } @paths) {
    my ($number) = $path =~ m{/(\d{4})_[a-z0-9_]+\.sql$};

    die "embed.pl: $path: not named NNNN_name.sql\n" if !defined $number;
    die "embed.pl: $path: numbers start at 1, without a gap or a double\n"
        if $seen{$number + 0}++ || $number != keys %seen;

    add('MIGRATION', $number + 0, $path);
}

add('FUNCTION', 0, $_) for sort grep { m{/functions/} } @paths;
add('GRANTS', 0, $_) for grep { m{(^|/)grants\.sql$} } @paths;

die "embed.pl: a file has no place\n" if @files != @paths;

$code = sha256_hex($code);

my $digest = sha256_hex(join "\n",
    (map { "$_->[2] $_->[3]" } grep { $_->[0] eq 'MIGRATION' } @files),
    "functions $code");

open my $fh, '>', $out or die "embed.pl: $out: $!\n";

print {$fh} "/* made by gbctl/embed.pl */\n\n#include \"embed.h\"\n\n\n";
printf {$fh} "const int   embed_last = %d;\n", scalar keys %seen;
printf {$fh} "const char  embed_code[] = \"%s\";\n", $code;
printf {$fh} "const char  embed_digest[] = \"%s\";\n\n\n", $digest;
print {$fh} "const embed_t  embed_files[] = {\n";

for (@files) {
    my ($kind, $number, $name, $sha, $text) = @$_;
    print {$fh} "    { EMBED_$kind, $number, \"$name\",\n      \"$sha\",\n";
    for my $line (split /(?<=\n)/, $text) {
        $line =~ s/([\\"])/\\$1/g;
        $line =~ s/\n/\\n/g;
        $line =~ s/([^ -~])/sprintf '\\%03o', ord $1/ge;
        $line =~ s/\?/\\?/g;
        print {$fh} "      \"$line\"\n";
    }
    print {$fh} "      \"\" },\n";
}

print {$fh} "    { EMBED_ROLES, 0, 0, 0, 0 }\n};\n";

close $fh or die "embed.pl: $out: $!\n";
