package Goosebit::Upstream;

# A gooseBit of PyPI, driven by its HTTP.
#
#   my $g = Goosebit::Upstream->new('0.2.9', uri => $postgres, auth => 'setup');
#   my $id = $g->software('image.swu');
#   $g->rollout($id, 'prod', 'first');
#   $g->http->request('GET', ddi('a'));

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;

use Goosebit::HTTP;
use Goosebit::Test;

my $json = JSON::PP->new->utf8;
my %server;


# new(VERSION, uri => of the database (an SQLite file of its own), auth =>
# mode (devices need no token)): undef where Python is missing here.
sub new {
    my ($class, $version, %opt) = @_;
    my $build = run(['t/e2e/clients/build', "goosebit-$version"],
        timeout => 900);
    return if $build->{exit} == 77;
    die $build->{err} if $build->{exit};
    chomp(my $python = $build->{out});

    my $dir = tempdir();
    my $self = bless { dir => $dir, python => $python, n => 0,
        version => $version,
        uri => $opt{uri} // "sqlite://$dir/db.sqlite3" }, $class;
    $self->{port} = Goosebit::Test::free_port();
    my $auth = $opt{auth}
        ? "device_auth:\n  enable: true\n  mode: $opt{auth}" : '';

    spew("$dir/goosebit.yaml", <<"YAML");
port: $self->{port}
db_uri: $self->{uri}
artifacts_dir: $dir/artifacts
poll_time: 00:00:30
$auth
YAML
    (my $goosebit) = glob $python =~ s{/bin/python$}{}r
        . '/lib/python3*/site-packages/goosebit';
    spew("$dir/pyproject.toml", <<"TOML");
[tool.aerich]
tortoise_orm = "goosebit.db.config.TORTOISE_CONF"
location = "$goosebit/db/migrations"
src_folder = "./."
TOML
    $self->_run('aerich', 'upgrade');
    $self->start;
    $self->{token} = $self->_form('setup')->{access_token};
    return $self;
}


sub uri { $_[0]{uri} }
sub dir { $_[0]{dir} }
sub pid { $server{$_[0]} }
sub url { "http://127.0.0.1:$_[0]{port}" }
sub http { Goosebit::HTTP->new(port => $_[0]{port}) }


# A program of its venv, in its folder and with its settings.
sub _run {
    my ($self, $program, @args) = @_;
    my $path = $self->{python} =~ s{python$}{$program}r;
    my $r = run(['sh', '-c', 'cd "$1"; shift; exec "$@"', 'sh', $self->{dir},
        'env', "GOOSEBIT_SETTINGS=$self->{dir}/goosebit.yaml", $path, @args],
        timeout => 180);
    die "$program: $r->{out}$r->{err}" if $r->{exit};
    return $r->{out};
}


sub start {
    my ($self) = @_;
    my $pid = $server{$self} = fork // die "fork: $!\n";
    if ($pid == 0) {
        chdir $self->{dir};
        $ENV{GOOSEBIT_SETTINGS} = "$self->{dir}/goosebit.yaml";
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;
        exec $self->{python}, '-m', 'uvicorn', '--host', '127.0.0.1',
            '--port', $self->{port}, 'goosebit:app';
    }
    my $listens;
    wait_for {
        $listens = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $self->{port});
        $listens || ended($pid);
    } 120;
    $listens or die "gooseBit does not start:\n" . slurp("$self->{dir}/log");
}


sub stop {
    my ($self) = @_;
    my $pid = delete $server{$self} // return;
    kill KILL => $pid;
    waitpid $pid, 0;
}


END {
    local $?;
    kill KILL => $_ for values %server;
}


# A form as a browser sends it.
sub _form {
    my ($self, $path) = @_;
    return $self->_curl("/$path", '-d', 'username=admin%40example.com',
        '-d', 'password=admin');
}


sub _curl {
    my ($self, $path, @args) = @_;
    my $r = run(['curl', '-sS', '--fail-with-body', @args,
        ($self->{token} ? ('-H', "Authorization: Bearer $self->{token}") : ()),
        $self->url . $path]);
    die "$path: $r->{out}$r->{err}" if $r->{exit};
    return $json->decode($r->{out});
}


# api(METHOD, PATH, DOCUMENT): the answer
sub api {
    my ($self, $method, $path, $doc) = @_;
    return $self->_curl("/api/v1/$path", '-X', $method, defined $doc
        ? ('-H', 'Content-Type: application/json', '-d', $json->encode($doc))
        : ());
}


# What creates: 0.2.11 has changed it.
sub _create { $_[0]{version} =~ /^0\.2\.(?:9|10)$/ ? 'POST' : 'PUT' }


# software(FILE or URL): its id there
sub software {
    my ($self, $what) = @_;
    return $self->_curl('/api/v1/software', '-X', $self->_create, '-F',
        $what =~ /^http/ ? "url=$what" : "file=\@$what")->{id};
}


# rollout(SOFTWARE, FEED, NAME): its id there
sub rollout {
    my ($self, $software, $feed, $name) = @_;
    return $self->api($self->_create, 'rollouts', { name => $name,
        feed => $feed, software_id => $software })->{id};
}


# Runs SQL in its SQLite file.
sub sqlite {
    my ($self, $sql) = @_;
    $self->_run('python', '-c', 'import sqlite3, sys; '
        . 'c = sqlite3.connect("db.sqlite3"); '
        . 'c.executescript(sys.argv[1]); c.commit()', $sql);
}


1;
