package Goosebit::Stack;

# A stack of ci/stack in a temporary directory, and what tests do with it.

use strict;
use warnings;

use File::Temp ();
use JSON::PP ();
use Test::More ();
use Time::HiRes qw(sleep time);

use Goosebit::HTTP;
use Goosebit::Psql;

my @all;
my $json = JSON::PP->new->utf8->allow_nonref;


# new(OPTIONS): what stands in the configuration of this stack
#   yaml      lines for goosebit.yaml
#   main, http, server, location   lines for that context of nginx.conf
#   conf      a whole nginx.conf instead, with @DIR@ @PORT@ @SOCKET@ @MODULE@
#   database  parameters of goosebit_database after the CONNINFO
#   patient   1: for a minute neither nginx nor PostgreSQL gives up a call
#   workers   number of nginx workers (2)
#   pg        lines for postgresql.conf
#   fsync     'off': for tests that need speed and no durability
#   nginx     0: database and gbctl only
#   init      0: an empty database
#   env       {NAME => VALUE} for nginx, GOOSEBIT_* included
#   with      another stack: one more nginx on its database and artifacts
sub new {
    my ($class, %opt) = @_;
    my $tmp = File::Temp->newdir('gbt.XXXXXX', TMPDIR => 1,
        CLEANUP => $ENV{GB_KEEP} ? 0 : 1);
    my $self = bless { tmp => $tmp, dir => "$tmp/s", allow => [] }, $class;
    my %name = (
        yaml => 'GB_YAML', main => 'GB_NGINX_MAIN', http => 'GB_NGINX_HTTP',
        server => 'GB_NGINX_SERVER', location => 'GB_NGINX_LOCATION',
        conf => 'GB_NGINX_CONF', database => 'GB_DATABASE',
        workers => 'GB_WORKERS', pg => 'GB_PG_CONF', fsync => 'GB_FSYNC',
    );

    chmod 0755, "$tmp";
    my %env = (%{delete $opt{env} // {}}, GB_KEEP_ENV => 1);
    $env{GB_MEMORY} = $ENV{GB_KEEP} ? 0 : $ENV{GB_MEMORY} // 1;
    $env{GB_NO_NGINX} = 1 if exists $opt{nginx} && !delete $opt{nginx};
    if (delete $opt{patient}) {
        $opt{database} = join ' ', $opt{database} // (), 'timeout=60s';
        $opt{main} = join "\n", $opt{main} // (),
            'env "PGOPTIONS=-c statement_timeout=60s";';
    }
    $env{GB_WITH} = (delete $opt{with})->dir if $opt{with};
    $env{GB_NO_INIT} = 1 if exists $opt{init} && !delete $opt{init};
    for my $key (keys %opt) {
        $env{$name{$key} // die "no such option of a stack: $key\n"}
            = $opt{$key};
    }

    own_psql() if !@all;
    push @all, $self;
    $self->{env_up} = \%env;
    {
        local %ENV = $self->_clean_env(%env);
        my $out = `ci/stack up '$self->{dir}' 2>&1`;
        die "# $out" if $? != 0;
    }
    $self->_read_env;
    return $self;
}


# The program itself: Debian's psql is a script that looks for it, six times as
# long as it takes then.
sub own_psql {
    require './ci/lib/Stack/Util.pm';
    $ENV{PATH} = join ':', Stack::Util::pgbin(), $ENV{PATH};
}


# The environment without settings of other databases and stacks.
sub _clean_env {
    my ($self, %more) = @_;
    my %env = %ENV;
    delete @env{grep { /^(?:PG|GOOSEBIT_)/ } keys %env};
    return (%env, %more);
}


sub _read_env {
    my ($self) = @_;
    $self->{env} = {};
    for (split /\n/, `ci/stack env '$self->{dir}'`) {
        my ($name, $value) = /^(\w+)=(.*)$/ or next;
        $value =~ s/^'(.*)'$/$1/ and $value =~ s/'\\''/'/g;
        $self->{env}{$name} = $value;
    }
}


sub dir { $_[0]{dir} }
sub url { $_[0]{env}{GOOSEBIT_URL} }
sub port { $_[0]{env}{GB_STACK_PORT} }
sub socket { $_[0]{env}{PGHOST} }
sub artifacts { $_[0]{env}{GB_ARTIFACTS} }
sub config { $_[0]{env}{GOOSEBIT_CONFIG} }
sub env { $_[0]{env} }


# Pid of nginx's master, of the postmaster; undef while it does not run.
sub pid { $_[0]->_read_env; return $_[0]{env}{NGINX_PID} || undef }
sub pg_pid { $_[0]->_read_env; return $_[0]{env}{PG_PID} || undef }


sub workers {
    my ($self) = @_;
    my $pid = $self->pid // return;
    return map { m{/(\d+)/} } grep {
        (_slurp($_) // '') =~ /^\d+ \(nginx\) (?!Z)\S $pid /
    } glob '/proc/[0-9]*/stat';
}


# nginx('start' | 'stop'), pg('start' | 'stop' | 'kill')
sub nginx { $_[0]->_control('nginx', $_[1]) }
sub pg { $_[0]->_control('pg', $_[1]) }


sub _control {
    my ($self, $what, $verb) = @_;
    local %ENV = $self->_clean_env(%{$self->{env_up}});
    my $out = `ci/stack $what $verb '$self->{dir}' 2>&1`;
    die "# $out" if $? != 0;
}


# Reloads nginx and waits until the old workers have gone (SECONDS, 30).
sub reload {
    my ($self, $seconds) = @_;
    my %old = map { $_ => 1 } $self->workers;
    my $until = time + ($seconds // 30);

    kill HUP => $self->pid;
    for (;;) {
        my @now = $self->workers;
        return 1 if @now && !grep { $old{$_} } @now;
        return 0 if time > $until;
        sleep 0.02;
    }
}


# Waits until this nginx has read in the journal what was committed by now.
sub synced {
    my ($self) = @_;
    my $since = time;
    return Goosebit::Test::wait_for(sub {
        my $asked = time;
        my $lag = $self->get('/status')->{json}{sync}{lag_seconds};
        return $asked - $lag > $since;
    });
}


# Waits until all last polls are written down (SECONDS, 30): a device whose row
# is there already may get another time, of a later request.
sub seen {
    my ($self, $seconds) = @_;
    return Goosebit::Test::wait_for(sub {
        my $r = $self->get('/status');
        return $r->{status} == 200 && $r->{json}{sync}{seen_pending} == 0;
    }, $seconds);
}


# ---- HTTP

sub http { Goosebit::HTTP->new(port => $_[0]->port, @_[1 .. $#_]) }


# request(METHOD, PATH, headers => [], body =>, json =>): Goosebit::HTTP
sub request {
    my ($self, $method, $path, %opt) = @_;
    return $self->http->request($method, $path, close => 1, %opt);
}


sub get { shift->request('GET', @_) }
sub head { shift->request('HEAD', @_) }
sub put { shift->request('PUT', @_) }
sub post { shift->request('POST', @_) }


# Sends bytes as they are, returns all the server said until it closed.
sub raw {
    my ($self, $bytes) = @_;
    my $http = $self->http;
    $http->write($bytes);
    $http->_fill_until(sub { 0 });
    return $http->{buffer};
}


# ---- SQL, as the superuser; rows() takes undef for null

sub _psql {
    my ($self, $sql, %opt) = @_;
    local %ENV = ($self->_clean_env, %{$self->{env}});
    $ENV{PGUSER} = $opt{user} if defined $opt{user};
    $ENV{PGDATABASE} = $opt{database} if defined $opt{database};
    return Goosebit::Test::run(
        ['psql', '-XAtq', '-F', "\x1f", '-R', "\x1e", '-P', 'null=\N',
            '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose',
            '-v', 'SHOW_CONTEXT=never', '-f', '-'],
        stdin => $sql);
}


# sql(TEXT, user =>, database =>): the rows of its one select (or of another
# statement with rows) as array references; dies on error
sub sql {
    my ($self, $sql, %opt) = @_;
    my $r = $self->_psql($sql, %opt);
    die "$r->{err}in: $sql\n" if $r->{exit} != 0;
    chomp(my $out = $r->{out});
    $out =~ s/\x1e\z//;
    return if $out eq '';
    return map {
        [map { $_ eq '\N' ? undef : $_ } split /\x1f/, $_, -1]
    } split /\x1e/, $out, -1;
}


# The first column of the first row.
sub value {
    my @rows = sql(@_);
    return @rows ? $rows[0][0] : undef;
}


# The error of a statement that must fail: "ERROR:  GB001: ...", else ''.
sub sql_error {
    my ($self, $sql, %opt) = @_;
    my $r = $self->_psql($sql, %opt);
    return $r->{exit} == 0 ? '' : $r->{err} =~ s/^psql:\S+ //r;
}


# A session that stays: Goosebit::Psql.
sub psql {
    my ($self, %opt) = @_;
    return Goosebit::Psql->new({ $self->_clean_env, %{$self->{env}} }, %opt);
}


# ---- gbctl

# gbctl([{stdin =>, env =>, pty => COLUMNS}], ARGS): {out, err, exit, json};
# json is stdout decoded, where it is JSON.
sub gbctl {
    my ($self, @args) = @_;
    my %opt = ref $args[0] eq 'HASH' ? %{shift @args} : ();
    local %ENV = ($self->_clean_env, %{$self->{env}},
        $opt{pty} ? (TERM => 'xterm') : (), %{$opt{env} // {}});
    delete @ENV{grep { !defined $ENV{$_} } keys %ENV};
    my $r = Goosebit::Test::run([$ENV{GBCTL}, @args], %opt);
    $r->{json} = eval { $json->decode($r->{out}) };
    return $r;
}


# ---- logs

sub _slurp {
    my ($file) = @_;
    open my $fh, '<', $file or return;
    local $/;
    return scalar <$fh>;
}


sub error_log { _slurp("$_[0]{dir}/logs/error.log") // '' }
sub access_log { _slurp("$_[0]{dir}/logs/access.log") // '' }
sub pg_log { _slurp("$_[0]{dir}/logs/postgresql.log") // '' }


# Waits until the error log matches; false after SECONDS (30).
sub wait_log {
    my ($self, $re, $seconds) = @_;
    my $until = time + ($seconds // 30);
    while (time < $until) {
        return 1 if $self->error_log =~ $re;
        sleep 0.02;
    }
    return 0;
}


# Lines that the last look at the error log shall pass over, where a test
# provokes them.
sub allow_log {
    my ($self, @re) = @_;
    push @{$self->{allow}}, @re;
}


# Lines of the error log that no test may leave behind.
sub bad_lines {
    my ($self) = @_;
    my @bad = grep {
        /\[(?:alert|emerg)\]|Sanitizer|runtime error:/
    } split /\n/, $self->error_log;
    for my $re (@{$self->{allow}}) {
        @bad = grep { $_ !~ $re } @bad;
    }
    return @bad;
}


# Ends the stack, with its last assertions.
sub stop {
    my ($self) = @_;
    return if $self->{stopped};

    my ($name, $id, $rule) = eval {
        @{($self->sql('SELECT name, id, rule FROM goosebit.broken_rows()'))[0]
            // []};
    };
    Test::More::ok(!defined $name, 'every row keeps the rules')
        or Test::More::diag("$name $id: $rule");

    # Sanitizers and pools speak up when a worker leaves in good order.
    if (my $pid = $self->pid) {
        kill QUIT => $pid;
        my $until = time + 5;
        sleep 0.01 while !Goosebit::Test::ended($pid) && time < $until;
    }

    my @bad = $self->bad_lines;
    Test::More::ok(!@bad, 'error.log has no alert, emerg or sanitizer line')
        or Test::More::diag(join "\n", @bad);
    my $text = $self->down;
    Test::More::is($text, '', 'the stack leaves nothing behind');
}


# Ends the stack without assertions; returns what is wrong, or ''.
sub down {
    my ($self) = @_;
    return '' if $self->{stopped}++;
    my $keep = $ENV{GB_KEEP} ? '--keep' : '';
    local %ENV = $self->_clean_env;
    my $out = `ci/stack down $keep '$self->{dir}' 2>&1`;
    return $out if $? != 0 || $ENV{GB_KEEP};
    return "$self->{dir} is still there" if -e $self->{dir};
    return "$self->{env}{PGHOST} is still there"
        if $self->{env} && !$self->{env_up}{GB_WITH}
            && -e $self->{env}{PGHOST};
    return '';
}


# Those that run, the last first: one may live on the database of another.
sub all { reverse grep { !$_->{stopped} } @all }


1;
