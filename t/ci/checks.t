use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

use Cwd qw(getcwd);
use File::Path qw(make_path);

# Each check of ci/style and ci/deps, proven by a tree that breaks it alone.

my $top = getcwd();
my $module = 'ngx_goosebit_module';
my $good = <<'C';
/* a file */

#include "a.h"


static int
one(int a)
{
    if (a) {
        return 1;
    }

    for (a = 0; a < 3
         && a != '('; a++)
    {
        one(a);
    }

    return 0;
}


int
two(void)
{
    return one(2);
}
C

sub tree {
    my (%file) = @_;
    my $dir = tempdir();
    for my $name (keys %file) {
        my ($path) = "$dir/$name" =~ m{^(.*)/};
        make_path($path);
        spew("$dir/$name", $file{$name});
    }
    return $dir;
}


# The names of the checks that fail on a tree.
sub failing {
    my ($check, %file) = @_;
    my $r = run(["$top/ci/$check", tree(%file)]);
    my @bad = $r->{out} =~ /^not ok \d+ - (.*)$/mg;
    is($r->{exit}, @bad ? 1 : 0, 'exit code');
    diag($r->{err}) if $r->{err} ne '';
    return join ', ', @bad;
}


sub style {
    my ($file, $text) = @_;
    return failing('style', $file => $text);
}


sub changed {
    my ($from, $to) = @_;
    (my $text = $good) =~ s/\Q$from\E/$to/ or die "no $from";
    return $text;
}


is(style('shared/a.c', $good), '', 'a good file');
is(style('shared/a.c', changed('    if', "\tif")), 'no tabs', 'tab');
is(style('a.sql', "select 1;\t\n"), 'no tabs, no trailing space', 'sql');
is(style('shared/a.c', changed('return 0;', 'return 0; ')),
    'no trailing space', 'trailing space');
is(style('a.md', "words \n"), 'no trailing space', 'in text, too');
is(style('shared/a.c', $good =~ s/\n\z//r), 'files end with one newline',
    'no newline');
is(style('shared/a.c', "$good\n"), 'files end with one newline',
    'blank line at the end');
is(style('shared/a.c', changed('/* a file */', '/* ' . 'x' x 75 . ' */')),
    'lines within 80 columns', '81 columns');
is(style('shared/a.c', changed('/* a file */', '/* ' . "\xc3\xa4" x 74
    . ' */')), '', '80 columns of UTF-8');
is(style('shared/a.c', '/* a */' . "\n" x 2 . "int  a;\n" x 599),
    'files within 600 lines', '601 lines');
is(style('shared/a.c', changed("    return 0;\n", "    one(1);\n" x 120)),
    'functions within 120 lines', 'long function');
is(style('shared/a.c', changed("}\n\n\nint", "}\n\nint")),
    'two blank lines between functions', 'one blank line');
is(style('shared/a.c', changed("}\n\n\nint", "}\n\n\n\nint")),
    'two blank lines between functions, never three blank lines', 'three');
is(style('shared/a.c', changed("int\ntwo", 'int two')),
    'return type on its own line', 'return type');
is(style('shared/a.c', changed("if (a) {\n        return 1;\n    }",
    "if (a)\n        return 1;")), 'braces always', 'if without braces');
is(style('shared/a.c', changed("if (a) {\n        return 1;\n    }",
    'if (a) return 1;')), 'braces always', 'if on one line');
is(style('shared/a.c', changed("a++)\n    {\n        one(a);\n    }",
    "a++)\n        one(a);")), 'braces always', 'for over two lines');
is(style('shared/a.c', changed('/* a file */', '// a file')),
    'no // comments', 'comment');
is(style('shared/a.c', changed('a file', 'TO' . 'DO')),
    'nothing left to do', 'left to do');


sub deps {
    my (%file) = @_;
    return failing('deps', %file);
}


my $pg = "$module/ngx_http_goosebit_pg.c";

is(deps($pg => "#include \"ngx_http_goosebit_call.h\"\n"), '', 'good edge');
is(deps($pg => "#include \"ngx_http_goosebit_ddi.h\"\n"),
    'rooms of the module include what they may', 'upward edge');
is(deps("$module/ngx_http_goosebit_new.c" =>
    "#include \"ngx_http_goosebit.h\"\n"),
    'rooms of the module include what they may', 'unknown room');
is(deps($pg => "#include \"gb_swu.h\"\n"),
    'the module knows of shared/ what it may', 'image parser in the module');
is(deps('shared/a.c' => "#include <libpq-fe.h>\n"),
    'shared/ knows neither nginx nor libpq', 'libpq in shared/');
is(deps('gbctl/a.c' => "#include <ngx_core.h>\n"),
    'gbctl knows nothing of nginx', 'nginx in gbctl');
is(deps($pg => "const char *a = \"select goosebit.decide(1)\";\n"),
    'the module calls only goosebit_ddi', 'inner function');
is(deps($pg => "/* \"goosebit.decide\" */ char *a = \"goosebit.yaml\";\n"),
    '', 'comments and file names do not count');
is(deps('gbctl/cmd_a.c' => "char *a = \"from goosebit.device\";\n"),
    'gbctl calls only goosebit_admin', 'table');
is(deps($pg => "    res = PQexec(conn, sql);\n"),
    'nothing in the module blocks', 'PQexec');
is(deps($pg => "    ngx_sleep(1); /* sleep(1) */\n"), '', 'other names');


# The library itself, built from one file.
sub library {
    my ($code, @flags) = @_;
    my $dir = tree('a.c' => $code, 'build/x' => '');
    my $r = run(['gcc', '-shared', '-fPIC', '-o',
        "$dir/build/ngx_http_goosebit_module.so", "$dir/a.c", @flags]);
    die $r->{err} if $r->{exit} != 0;
    $r = run(["$top/ci/deps", $dir]);
    return join ', ', $r->{out} =~ /^not ok \d+ - (.*)$/mg;
}


my $symbols = join '', map { "int ngx_$_ = 1;\n" }
    qw(modules module_names module_order);

is(library($symbols), '', 'a good library');
is(library("${symbols}int more;\n"),
    'the module exports only what nginx looks for', 'one symbol more');
is(library("#include <unistd.h>\n${symbols}static void __attribute__((used))\n"
    . "f(void) { sleep(1); }\n"),
    'nothing the module is linked with blocks', 'sleep');
is(library($symbols, '-Wl,--no-as-needed', '-lm'),
    'the module needs only its libraries', 'another library');

done_testing;
