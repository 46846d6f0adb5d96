#!/usr/bin/perl
# The man pages: they have all that --help, goosebit.yaml and the module know,
# and neither groff nor mandoc has anything to complain of.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $dir = tempdir;
is(run(['ci/man', 'build/gbctl', $dir])->{exit}, 0, 'ci/man') or done_testing;

my %page;
for my $file (map { m{([^/]+)$} } glob "$dir/*") {
    my $r = run(['groff', '-man', '-Tutf8', '-ww', '-z', "$dir/$file"]);
    is($r->{err}, '', "$file: no warnings");

    $r = run(['mandoc', '-Tlint', "$dir/$file"]);
    is($r->{out} . $r->{err}, '', "$file: mandoc finds nothing");

    local $ENV{MANWIDTH} = 100;
    $page{$file} = run(['man', '-l', '-E', 'UTF-8', '--no-hyphenation',
        "$dir/$file"])->{out};
    unlike($page{$file}, qr/\\f[BIR]|\\e|\\\(|\\\[/, "$file: no escapes left");
    like($page{$file}, qr/^NAME\n +\S+ - .+\n\n/m, "$file: NAME");
    like($page{$file}, qr/^SEE ALSO\n/m, "$file: SEE ALSO");
}
is(join(' ', sort keys %page),
    'gbctl.1 goosebit.yaml.5 ngx_http_goosebit_module.8', 'three pages');


# gbctl(1): every noun, verb and option, with what it does

sub help { run(['build/gbctl', @_, '--help'])->{out} }

sub names {
    my ($text, $title) = @_;
    my ($list) = $text =~ /^$title:\n(.*?)(?:\n\n|\z)/ms or return;
    return map { /^  (?! )(\S+)/ } split /\n/, $list;
}

sub has {
    my ($section, $what) = @_;
    return $section =~ /(?<![\w-])\Q$what\E(?![\w-])/;
}

my $verbs = 0;
for my $noun (names(help(), 'Nouns')) {
    my @verbs = names(help($noun), 'Verbs');
    for my $verb (@verbs ? @verbs : '') {
        my $name = $verb eq '' ? $noun : "$noun $verb";
        my $help = help(split / /, $name);
        my ($section) = $page{'gbctl.1'}
            =~ /^   gbctl \Q$name\E\n(.*?)^(?:   gbctl |[A-Z])/ms;
        $verbs++;
        if (!defined $section) {
            fail("gbctl.1 has $name");
            next;
        }
        my ($options) = $help =~ /^Options:\n(.*?)\n\n/ms;
        my @missing = grep { !has($section, $_) }
            ($options // '') =~ /^ {2}(?:-\w,| {3}) (--\S+)/mg;
        is("@missing", '', "gbctl.1 has $name and its options");
    }
}
cmp_ok($verbs, '>=', 45, 'all verbs were looked for');
ok(has($page{'gbctl.1'}, $_), "gbctl.1 has $_")
    for help() =~ /^ {2}(?:-\w,| {3}) (--\S+)/mg;


# goosebit.yaml(5): every key that there is

my @keys = map { $_->{key} } @{JSON::PP::decode_json(run(['build/gbctl',
    'config', 'show', '-o', 'json'])->{out})};
cmp_ok(scalar @keys, '>=', 15, 'keys of goosebit.yaml');
for my $key (@keys) {
    my ($last) = $key =~ /([^.]+)$/;
    ok($page{'goosebit.yaml.5'} =~ /\b\Q$last\E: ?/, "goosebit.yaml.5 has $key");
}


# ngx_http_goosebit_module(8): every directive and variable of the source

my $source = join '', map { slurp($_) } glob 'ngx_goosebit_module/*.c';
my %known = map { $_ => 1 }
    $source =~ /ngx_string\("(goosebit(?:_\w+)?)"\),\s*NGX_HTTP_/g;
cmp_ok(scalar keys %known, '>=', 15, 'directives of the source');
like($page{'ngx_http_goosebit_module.8'}, qr/^   $_$/m,
    "ngx_http_goosebit_module.8 has $_") for sort keys %known;

my ($variables) = slurp('ngx_goosebit_module/README.md')
    =~ /^\| variable(.*?)\n\n/ms;
ok(has($page{'ngx_http_goosebit_module.8'}, "\$$_"),
    "ngx_http_goosebit_module.8 has \$$_")
    for $variables =~ /^\| `\$(\w+)`/mg;

done_testing;
