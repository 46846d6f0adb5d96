package Goosebit::Certs;

# Certificates made on the spot by openssl, in a directory of their own.

use strict;
use warnings;

use File::Temp ();

use Goosebit::Test ();

our $free;


sub new {
    my ($class) = @_;
    my $dir = File::Temp->newdir('gbc.XXXXXX', TMPDIR => 1);

    chmod 0755, "$dir";
    return bless { dir => $dir }, $class;
}


sub file { "$_[0]{dir}/$_[1]" }
sub pem { $_[0]->file("$_[1].pem") }
sub key { $_[0]->file("$_[1].key") }


sub _run {
    my ($self, @cmd) = @_;
    my $log = $self->file('openssl.log');
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDOUT, '>', $log or die;
        open STDERR, '>&', \*STDOUT or die;
        exec 'openssl', @cmd or die;
    }
    waitpid $pid, 0;
    return if $? == 0;
    open my $fh, '<', $log or die "openssl @cmd failed\n";
    local $/;
    die "openssl @cmd: ", <$fh>;
}


# make(NAME, SUBJECT, by => NAME, ca => 1, san => 'DNS:x', days => N): NAME.pem
# and NAME.key; signed by itself unless by another
sub make {
    my ($self, $name, $subject, %opt) = @_;
    my $ext = ($opt{ca} ? "basicConstraints=critical,CA:TRUE\n"
        : "basicConstraints=CA:FALSE\n")
        . ($opt{san} ? "subjectAltName=$opt{san}\n" : '');

    open my $fh, '>', $self->file("$name.ext") or die;
    print $fh $ext;
    close $fh;

    $self->_run('req', '-new', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-keyout', $self->key($name),
        '-out', $self->file("$name.csr"), '-utf8', '-subj', $subject);
    $self->_run('x509', '-req', '-in', $self->file("$name.csr"), '-out',
        $self->pem($name), '-days', $opt{days} // 30, '-extfile',
        $self->file("$name.ext"), $opt{by}
            ? ('-CA', $self->pem($opt{by}), '-CAkey', $self->key($opt{by}),
                '-CAcreateserial', '-CAserial', $self->file('serial'))
            : ('-signkey', $self->key($name)));
    chmod 0644, $self->key($name);
    return $self;
}


# join(NAME, NAMES): NAME.pem with all of them
sub join {
    my ($self, $name, @names) = @_;
    local $/;
    my @pems = map { open my $fh, '<', $self->pem($_) or die; <$fh> } @names;

    open my $out, '>', $self->pem($name) or die;
    print $out @pems;
    close $out;
    return $self->pem($name);
}


# what openssl says the issuer's hash is
sub issuer_hash {
    my ($self, $name) = @_;
    my $pem = $self->pem($name);
    chomp(my $hash = `openssl x509 -in '$pem' -noout -issuer_hash`);
    return $hash;
}


# A port nobody listens on now.
sub port { Goosebit::Test::free_port() }


# curl(URL, cert => NAME, ca => NAME, args => []): {status, body}
sub curl {
    my ($self, $url, %opt) = @_;
    my @cmd = ('curl', '-sS', '--max-time', 20, '-w', "\n%{http_code}",
        '--cacert', $self->pem($opt{ca} // 'server-ca'),
        $opt{cert} ? ('--cert', $self->pem($opt{chain} // $opt{cert}),
            '--key', $self->key($opt{cert})) : (),
        @{$opt{args} // []}, $url);
    open my $fh, '-|', @cmd or die "curl: $!\n";
    local $/;
    my $out = <$fh> // '';
    close $fh;
    my ($body, $status) = $out =~ /\A(.*)\n(\d+)\z/s;
    return { status => $status // 0, body => $body // '' };
}


1;
