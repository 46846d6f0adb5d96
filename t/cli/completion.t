#!/usr/bin/perl
# Completion: the hidden verb that shells ask, and bash, zsh and fish asking it.

use FindBin;
use lib "$FindBin::Bin/../lib";
use Goosebit::Test;

my $s = stack(nginx => 0, fsync => 'off');
is($s->gbctl(qw(sample load))->{exit}, 0, 'a fleet');
$s->gbctl('device', 'add', 'odd id:1', '--name', 'two words');
my $gbctl = $s->env->{GBCTL};
my $dir = tempdir;

# Words for the last one of a line.
sub words {
    my $r = $s->gbctl('__complete', '--', @_);
    is($r->{exit}, 0, "@_: exit 0") if $r->{exit};
    is($r->{err}, '', "@_: says nothing") if $r->{err} ne '';
    return map { s/\t.*//r } split /\n/, $r->{out};
}

sub complete_is {
    my ($line, $want, $name) = @_;
    is_deeply([words(@$line)], $want, $name // "@$line");
}


# nouns, verbs and options are those of --help

my %help;

sub listed {
    my ($title, @path) = @_;
    my ($list) = ($help{"@path"} //= $s->gbctl(@path, '--help')->{out})
        =~ /^\Q$title\E:\n(.*?)(?:\n\n|\z)/ms;
    return map { /^  (?:-\w,|   )? ?(?:--)?(\S+)/ ? $1 : () }
        grep { /^  (?:-\w, --|    --|\w)/ } split /\n/, $list // '';
}

my @nouns = listed('Nouns');
complete_is([''], \@nouns, 'nouns');
ok(!grep({ /^_/ } @nouns), 'the hidden one is not shown');
for my $noun (@nouns) {
    my @verbs = listed('Verbs', $noun);
    complete_is([$noun, ''], \@verbs, "$noun: verbs") if @verbs;
    for my $verb (@verbs ? @verbs : '') {
        my @path = ($noun, $verb eq '' ? () : $verb);
        is_deeply([sort { $a cmp $b } words(@path, '--')],
            [sort { $a cmp $b } map { "--$_" } listed('Options', @path),
                listed('Global options', @path)], "@path: options");
    }
}


# values, places and ids

complete_is(['de'], ['device']);
complete_is(['status', '--out'], ['--output']);
complete_is(['-o', 'js'], ['json', 'jsonl']);
complete_is(['device', 'list', '--sort=s'],
    ['--sort=sw_version', '--sort=state']);
complete_is(['device', 'set', 'x', '--mode', 'p'], ['pinned']);
complete_is(['device', 'list', '-o', 'json', '--outp'], [],
    'an option that is given is not given twice');
complete_is(['device', 'show', 'sample-gateway-24'], ['sample-gateway-240']);
is(scalar(words('device', 'show', '')), 100, 'at most a hundred ids');
complete_is(['device', 'show', 'sample-gateway-001', 'sam'], [],
    'one device and no more');
is(scalar(words('device', 'pin', 'sample-gateway-001', 'sample-hub')), 0,
    'nothing begins so');
is(scalar(words('device', 'pin', 'a', 'b', 'sample-camera-00')), 9,
    'IDS: as many as wanted');
is_deeply([grep { /^\d/ } words('device', 'assign', 'a', '1')],
    ['1.0.0', '1.4.0', '1.5.2'], 'IDS SOFTWARE: software too');
complete_is(['device', 'autoconfirm', 'a', 'o'], ['on', 'off', 'odd id:1']);
complete_is(['device', 'autoconfirm', '--filter', 'id=a', 'o'], ['on', 'off']);
complete_is(['device', 'add', ''], [], 'a new id is nobody\'s');
complete_is(['software', 'show', '2'], ['2.0.0']);
complete_is(['rollout', 'show', ''], [5, 4, 3, 2, 1]);
complete_is(['rollout', 'create', '--software', '3.1'], ['3.1.0-rc.1']);
complete_is(['rollout', 'create', '--feed', ''],
    [qw(beta default lab production)]);
complete_is(['-t', 'd'], [], 'tenants as they are written');
complete_is(['-t', 'D'], ['DEFAULT']);
complete_is(['software', 'add', 'a', ''], [':files']);
complete_is(['-c', ''], [':files']);
complete_is(['nonsense', ''], [], 'after nonsense nothing');
like($s->gbctl('__complete', '--', 'device', 'show', 'odd')->{out},
    qr/^odd id:1\ttwo/, 'what it is stands behind a tab');


# of the database that the line names; quick and silent where there is none

my $began = time;
is_deeply([words('--db', "postgresql:///x?host=$dir", 'device', 'show', '')],
    [], 'no database: nothing');
cmp_ok(time - $began, '<', 5, 'soon');
is_deeply([words('-c', '/nonexistent.yaml', 'device', 'show', '')], [],
    'no settings: nothing');
is_deeply([words('-t', 'nobody', 'device', 'show', '')], [],
    'no such tenant: nothing');


# shells

symlink "$ENV{PWD}/$gbctl", "$dir/gbctl" if $gbctl !~ m{^/};
symlink $gbctl, "$dir/gbctl" if $gbctl =~ m{^/};

sub shell {
    my (@cmd) = @_;
    local %ENV = (%ENV, %{$s->env}, PATH => "$dir:$ENV{PATH}", HOME => $dir,
        XDG_CONFIG_HOME => "$dir/config", XDG_DATA_HOME => "$dir/data");
    my $r = run(\@cmd);
    diag($r->{err}) if $r->{err} ne '';
    return [split /\n/, $r->{out}];
}

my @lines = (
    ['gbctl roll', 'rollout'],
    ['gbctl device sho', 'show'],
    ['gbctl device show sample-camera-12', 'sample-camera-120'],
    ['gbctl rollout create --software=3.1', '3.1.0-rc.1'],
    ['gbctl -o json software show 3.0', '3.0.2'],
    ['gbctl device set a --mode p', 'pinned'],
);

for (@lines) {
    my ($line, $want) = @$_;
    is_deeply(shell('bash', '-c', <<'BASH', 'bash', $line), [$want],
source <(gbctl completion bash)
[[ $(complete -p gbctl) = 'complete -F _gbctl gbctl' ]] || exit 1
COMP_LINE=$1 COMP_POINT=${#1}
_gbctl
printf '%s\n' "${COMPREPLY[@]}"
BASH
        "bash: $line");
}
is_deeply(shell('bash', '-c', <<'BASH'), ['odd\ id:1'], 'bash: quotes');
source <(gbctl completion bash)
COMP_LINE='gbctl device show od' COMP_POINT=20
_gbctl
printf '%s\n' "${COMPREPLY[@]}"
BASH

SKIP: {
    skip 'no fish', 1 if run(['which', 'fish'])->{exit};
    for (@lines) {
        my ($line, $want) = @$_;
        $want = $line =~ /(--\S+=)/ ? "$1$want" : $want;
        is_deeply([map { s/\t.*//r } @{shell('fish', '-c',
            'gbctl completion fish | source; complete -C $argv[1]', $line)}],
            [$want], "fish: $line");
    }
}

SKIP: {
    skip 'no zsh', 1 if run(['which', 'zsh'])->{exit};
    for (@lines) {
        my ($line, $want) = @$_;
        $want = $line =~ /(--\S+=)/ ? "$1$want" : $want;
        is_deeply([map { s/:.*//r } @{shell('zsh', '-fc', <<'ZSH', 'zsh',
autoload -U compinit && compinit -u -D
source <(gbctl completion zsh)
[[ ${_comps[gbctl]} = _gbctl ]] || exit 1
_describe() { print -rl -- "${(@P)2}" }
words=("${(@)argv}") CURRENT=$#
_gbctl
ZSH
            split / /, $line)}], [$want], "zsh: $line");
    }
}

# What is installed is what the verb prints.
is(system('make', '-s', 'install', "DESTDIR=$dir/root", $ENV{GB_ASAN}
    ? 'B=build/asan' : ()), 0, 'make install') if !$ENV{GB_ASAN};
for (['bash', 'bash-completion/completions/gbctl'],
    ['zsh', 'zsh/vendor-completions/_gbctl'],
    ['fish', 'fish/vendor_completions.d/gbctl.fish'])
{
    last if $ENV{GB_ASAN};
    my ($shell, $file) = @$_;
    is(slurp("$dir/root/usr/share/$file"),
        $s->gbctl('completion', $shell)->{out}, "installed for $shell");
}

done_testing;
