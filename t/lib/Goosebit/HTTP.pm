package Goosebit::HTTP;

# One HTTP/1.1 connection, small enough to send what a proper client would not.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(IPPROTO_TCP TCP_NODELAY SHUT_WR);
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->allow_nonref;


# new(port => N, host => '127.0.0.1', timeout => 30)
sub new {
    my ($class, %opt) = @_;
    my $self = bless {
        host => '127.0.0.1', timeout => 30, buffer => '', %opt,
    }, $class;

    $self->{sock} = IO::Socket::INET->new(PeerAddr => $self->{host},
        PeerPort => $self->{port}, Proto => 'tcp', Timeout => 30)
        or die "connect $self->{host}:$self->{port}: $!\n";
    setsockopt $self->{sock}, IPPROTO_TCP, TCP_NODELAY, 1;
    binmode $self->{sock};

    return $self;
}


# Bytes as they are.
sub write {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';

    while (length $bytes) {
        my $n = syswrite $self->{sock}, $bytes;
        return 0 if !defined $n;
        substr $bytes, 0, $n, '';
    }
    return 1;
}


sub shut { shutdown $_[0]{sock}, SHUT_WR }


sub close { CORE::close $_[0]{sock} }


# request(METHOD, PATH, headers => [NAME, VALUE, ...], body => BYTES,
#         json => DATA, close => 1); headers beat those made here, undef as a
# value leaves one out. Returns what response() does.
sub request {
    my ($self, $method, $path, %opt) = @_;
    $self->send_request($method, $path, %opt);
    return $self->response($method);
}


sub send_request {
    my ($self, $method, $path, %opt) = @_;
    my @given = ref $opt{headers} eq 'HASH'
        ? %{$opt{headers}} : @{$opt{headers} // []};
    my $body = exists $opt{json} ? $json->encode($opt{json}) : $opt{body};
    my %seen;
    my $text = "$method $path HTTP/1.1\r\n";

    while (my ($name, $value) = splice @given, 0, 2) {
        $seen{lc $name} = 1;
        $text .= "$name: $value\r\n" if defined $value;
    }

    my @default = (Host => "$self->{host}:$self->{port}");
    push @default, 'Content-Type' => 'application/json' if exists $opt{json};
    push @default, 'Content-Length' => length $body if defined $body;
    push @default, Connection => 'close' if $opt{close};

    while (my ($name, $value) = splice @default, 0, 2) {
        $text .= "$name: $value\r\n" if !$seen{lc $name};
    }

    return $self->write("$text\r\n" . ($body // ''));
}


# {status, reason, headers {lower-case name => value, repeated ones joined},
# body, json (undef where it is none), raw}; undef where the server closed
# without an answer; dies when it takes too long.
sub response {
    my ($self, $method) = @_;
    my ($head, $res);

    for (;;) {
        $self->_fill_until(sub { $self->{buffer} =~ /\r\n\r\n/ }) or return;
        $self->{buffer} =~ s/\A(.*?\r\n)\r\n//s;
        $head = $1;
        last if $head !~ m{^HTTP/1\.1 100 };
    }

    my ($line, @lines) = split /\r\n/, $head;
    my ($status, $reason) = $line =~ m{^HTTP/1\.[01] (\d{3})(?: (.*))?$}
        or die "not an HTTP answer: $line\n";

    $res = { status => $status, reason => $reason, headers => {}, body => '' };
    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*)$/ or die "bad header: $_\n";
        $name = lc $name;
        $res->{headers}{$name} = exists $res->{headers}{$name}
            ? "$res->{headers}{$name}, $value" : $value;
    }

    if (($method // 'GET') ne 'HEAD' && $status !~ /^(?:1..|204|304)$/) {
        $res->{body} = $self->_body($res->{headers});
    }

    $res->{raw} = "$head\r\n$res->{body}";
    $res->{json} = eval { $json->decode($res->{body}) }
        if ($res->{headers}{'content-type'} // '') =~ /json/;
    return $res;
}


sub _body {
    my ($self, $h) = @_;

    if (($h->{'transfer-encoding'} // '') =~ /chunked/i) {
        my $body = '';
        for (;;) {
            $self->_fill_until(sub { $self->{buffer} =~ /\r\n/ })
                or die "cut off in a chunk\n";
            $self->{buffer} =~ s/\A([0-9a-fA-F]+)[^\r]*\r\n//
                or die "bad chunk\n";
            my $n = hex $1;
            $self->_fill_until(sub { length $self->{buffer} >= $n + 2 })
                or die "cut off in a chunk\n";
            $body .= substr $self->{buffer}, 0, $n;
            substr $self->{buffer}, 0, $n + 2, '';
            return $body if $n == 0;
        }
    }

    if (defined(my $n = $h->{'content-length'})) {
        $self->_fill_until(sub { length $self->{buffer} >= $n })
            or die "cut off in a body\n";
        return substr $self->{buffer}, 0, $n, '';
    }

    $self->_fill_until(sub { 0 });
    my $body = $self->{buffer};
    $self->{buffer} = '';
    return $body;
}


# Reads until the condition holds (1) or the server closes (0).
sub _fill_until {
    my ($self, $cond) = @_;
    my $until = time + $self->{timeout};
    my $select = IO::Select->new($self->{sock});

    while (!$cond->()) {
        my $left = $until - time;
        die "no answer within $self->{timeout} s\n"
            if $left <= 0 || !$select->can_read($left);
        my $n = sysread $self->{sock}, $self->{buffer}, 65536,
            length $self->{buffer};
        return 0 if !$n;
    }
    return 1;
}


# Whether the server has closed the connection by now, or within SECONDS.
sub closed {
    my ($self, $seconds) = @_;
    my $select = IO::Select->new($self->{sock});
    return 0 if !$select->can_read($seconds // 0);
    return !sysread $self->{sock}, $self->{buffer}, 65536,
        length $self->{buffer};
}


1;
