package Goosebit::S3;

# A real object store, versitygw, on a free port of 127.0.0.1. It verifies the
# signature of every request; those of this package are signed here, apart from
# the code under test.
#
#   my $s3 = Goosebit::S3->new;
#   my $s = stack(yaml => $s3->yaml);
#   is($s3->request('GET', '/artifacts/key')->{status}, 404);

use strict;
use warnings;

use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use IO::Socket::INET;
use POSIX ();
use Test::More ();
use Time::HiRes qw(sleep time);

use Goosebit::HTTP;
use Goosebit::Test ();

my @all;
my $owner = $$;


# new(bucket => 'artifacts', region => 'us-east-1'): skips the test where the
# server can't be built here.
sub new {
    my ($class, %opt) = @_;
    my $build = Goosebit::Test::run(['t/e2e/clients/build', 'versitygw'],
        timeout => 1500);
    Test::More::plan(skip_all => $build->{err}) if $build->{exit} == 77;
    die $build->{err} if $build->{exit};
    chomp(my $program = $build->{out});

    my $self = bless {
        program => $program, dir => Goosebit::Test::tempdir(),
        bucket => 'artifacts', region => 'us-east-1',
        access => 'AKGOOSEBITTEST', secret => 'a+Secret/of-the=tests', %opt,
    }, $class;

    mkdir "$self->{dir}/$_" for qw(root side);
    push @all, $self;

    for (1 .. 5) {
        $self->{port} = Goosebit::Test::free_port();
        last if $self->start;
    }
    $self->{pid} or die "versitygw: " . $self->log . "\n";

    my $r = $self->request('PUT', "/$self->{bucket}");
    $r->{status} == 200 or die "versitygw: $r->{raw}\n";
    return $self;
}


sub port { $_[0]{port} }
sub pid { $_[0]{pid} }
sub bucket { $_[0]{bucket} }
sub url { "http://127.0.0.1:$_[0]{port}" }
sub log { Goosebit::Test::slurp("$_[0]{dir}/log") }


# storage: of a goosebit.yaml; options stand in place of what is right.
sub yaml {
    my ($self, %opt) = @_;
    my %is = (bucket => $self->{bucket}, region => $self->{region},
        endpoint_url => $self->url, access_key_id => $self->{access},
        secret_access_key => $self->{secret}, %opt);
    return "storage:\n  backend: s3\n  s3:\n"
        . join '', map { "    $_: \"$is{$_}\"\n" } sort keys %is;
}


# What the location of goosebit_object_store sends to an upstream of this name.
sub proxy {
    my ($self, $upstream) = @_;
    return "proxy_pass http://$upstream\$goosebit_object_uri;\n" . <<'CONF';
proxy_set_header Host $goosebit_object_host;
proxy_set_header X-Amz-Date $goosebit_object_date;
proxy_set_header X-Amz-Content-Sha256 $goosebit_object_content_sha256;
proxy_set_header Authorization $goosebit_object_authorization;
CONF
}


# Starts it at its port, again after stop(); true if it listens.
sub start {
    my ($self) = @_;
    my $until = time + 30;

    $self->{pid} = fork // die "fork: $!\n";
    if ($self->{pid} == 0) {
        delete @ENV{grep { /^(?:VGW_|ROOT_)/ } keys %ENV};
        $ENV{ROOT_ACCESS_KEY} = $self->{access};
        $ENV{ROOT_SECRET_KEY} = $self->{secret};
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        { no warnings; exec $self->{program}, '--port',
            "127.0.0.1:$self->{port}", '--region', $self->{region},
            '--keep-alive', 'posix', '--sidecar', "$self->{dir}/side",
            "$self->{dir}/root"; }
        POSIX::_exit(127);
    }

    while (time < $until) {
        if (waitpid($self->{pid}, POSIX::WNOHANG()) != 0) {
            $self->{pid} = undef;
            return 0;
        }
        return 1 if IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $self->{port});
        sleep 0.02;
    }
    return 0;
}


# stop('KILL'): what was uploaded so far stays.
sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} // return;
    kill $signal // 'KILL', $pid;
    waitpid $pid, 0;
}


# request(METHOD, '/bucket/key?query', body =>, headers => [], secret =>,
# access =>): as Goosebit::HTTP answers. The path is encoded already, and the
# query sorted.
sub request {
    my ($self, $method, $target, %opt) = @_;
    my ($path, $query) = split /\?/, $target, 2;
    my $host = "127.0.0.1:$self->{port}";
    my $date = POSIX::strftime('%Y%m%dT%H%M%SZ', gmtime);
    my $day = substr $date, 0, 8;
    my $scope = "$day/$self->{region}/s3/aws4_request";
    my $payload = sha256_hex($opt{body} // '');
    my $names = 'host;x-amz-content-sha256;x-amz-date';

    my $canonical = join "\n", $method, $path, $query // '', "host:$host",
        "x-amz-content-sha256:$payload", "x-amz-date:$date", '', $names,
        $payload;
    my $key = 'AWS4' . ($opt{secret} // $self->{secret});
    $key = hmac_sha256($_, $key) for split m{/}, $scope;
    my $signature = hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date,
        $scope, sha256_hex($canonical)), $key);

    return Goosebit::HTTP->new(port => $self->{port})->request($method,
        $target, body => $opt{body} // ($method eq 'PUT' ? '' : undef),
        close => 1, headers => [
            'x-amz-date' => $date, 'x-amz-content-sha256' => $payload,
            Authorization => 'AWS4-HMAC-SHA256 Credential='
                . ($opt{access} // $self->{access})
                . "/$scope,SignedHeaders=$names,Signature=$signature",
            @{$opt{headers} // []},
        ]);
}


# Keys of what is in the bucket, and of uploads that have not ended.
sub keys {
    my ($self) = @_;
    return $self->_keys('list-type=2');
}


sub uploads {
    my ($self) = @_;
    return $self->_keys('uploads=');
}


sub _keys {
    my ($self, $query) = @_;
    my $r = $self->request('GET', "/$self->{bucket}?$query");
    $r->{status} == 200 or die "versitygw: $r->{raw}\n";
    return sort $r->{body} =~ m{<Key>([^<]+)</Key>}g;
}


END {
    if ($$ == $owner) {
        local $?;
        $_->stop for @all;
    }
}


1;
