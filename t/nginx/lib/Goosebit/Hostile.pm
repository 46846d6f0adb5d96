package Goosebit::Hostile;

# A small fleet under attack: each request's status is asserted, and after
# each table of them that the database is as it was and that nothing but an
# answer of ours came back.

use strict;
use warnings;

use JSON::PP ();
use Test::More ();

use Goosebit::Device;

my $v1 = '/DEFAULT/controller/v1';


# new(STACK): devices dev (an action that runs), wait (one to confirm), stop
# (one to cancel), done (one that is finished), and locked (a token).
sub new {
    my ($class, $s) = @_;
    my $self = bless { s => $s, count => 0, id => {} }, $class;

    my $image = Goosebit::Device::image($s, '2.0.0');
    $self->{sw} = $image->{id};
    for (qw(dev wait stop done locked)) {
        my $d = Goosebit::Device->new($s, $_);
        $d->register;
        $self->_gbctl('device', 'assign', $_, $image->{id},
            $_ eq 'wait' ? '--confirm' : ());
        my ($href) = values %{$d->poll->{json}{_links}};
        ($self->{id}{$_}) = $href->{href} =~ m{/(\d+)\?c=};
        next if $_ eq 'wait';
        $d->get('deploymentBase', $self->{id}{$_});
        $d->feedback($self->{id}{$_}, 'proceeding') if $_ eq 'dev';
        $d->feedback($self->{id}{$_}, 'closed', 'success') if $_ eq 'done';
        $self->_gbctl('device', 'cancel', $_) if $_ eq 'stop';
    }
    $self->_gbctl({ stdin => "secret\n" }, 'device', 'token', 'locked',
        '--set', '-');
    return $self;
}


sub _gbctl {
    my $self = shift;
    my $r = $self->{s}->gbctl(@_);
    die "gbctl: $r->{err}" if $r->{exit};
}


# The same fleet, at another nginx on its database.
sub at {
    my ($self, $s) = @_;
    return bless { %$self, s => $s }, ref $self;
}


sub id { $_[0]{id}{$_[1]} }
sub sw { $_[0]{sw} }
sub count { $_[0]{count} }


sub path {
    my ($self, $device, @rest) = @_;
    return join '/', $v1, $device, @rest;
}


# {TABLE => digest of its rows}; when a device was seen is no harm, nor that
# the clock goes on: tick() recounts the devices and marks the journal.
sub digest {
    my ($self) = @_;
    my @tables = split ' ', $self->{s}->value("select string_agg(relname, ' '
        order by relname) from pg_class where relkind = 'r'
        and relnamespace = 'goosebit'::regnamespace
        and relname not in ('device_seen', 'device_count',
            'tick_state', 'change_mark')");
    my $query = join ' union all ', map {
        "select '$_', md5(coalesce(string_agg(t::text, chr(10)
            order by t::text), '')) from goosebit.$_ t"
    } @tables;
    return { map { @$_ } $self->{s}->sql($query) };
}


# table(NAME, [LABEL, EXPECTED, SEND]...): SEND is the bytes of a request, or
# a sub that gets a connection and returns response(). EXPECTED is a status,
# several as in '400|413', 'none' for a connection that is closed. A true
# fourth: what is no request for our paths may get NGINX's own page.
sub table {
    my ($self, $name, @rows) = @_;
    my $before = $self->digest;

    Test::More::subtest($name => sub {
        for (@rows) {
            my ($label, $expected, $send, $page) = @$_;
            my ($status, $wrong) = $self->_try($send);
            my $shown = $label =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;

            $shown = substr($shown, 0, 80) . '...' if length $shown > 80;
            Test::More::like($status, qr/^(?:$expected)$/,
                "$name: $shown: $expected");
            Test::More::is($wrong, '', "$name: $shown: an answer of ours")
                if $wrong ne '' && !($page && $wrong eq 'HTML');
            $self->{count}++;
        }
        Test::More::is_deeply($self->digest, $before,
            "$name: the database is unchanged");
    });
}


sub _try {
    my ($self, $send) = @_;
    my $http = $self->{s}->http;
    my $method = ref $send ? 'GET' : $send =~ /^HEAD / ? 'HEAD' : 'GET';
    my $r = eval {
        ref $send ? $send->($http)
            : do { $http->write($send); $http->response($method) };
    };

    return ("died: $@", '') if $@;
    return ('none', '') if !defined $r;
    return ($r->{status}, $method eq 'HEAD' ? '' : wrong($r));
}


# What may never stand in an answer, whatever was asked.
sub wrong {
    my ($r) = @_;
    my $h = $r->{headers};
    my $type = $h->{'content-type'} // '';

    return 'a server error' if $r->{status} =~ /^50[0234]/;
    return 'HTML' if $r->{body} =~ /<html/i || $type =~ /html/;
    return 'SQL' if $r->{body} =~ /\b(?:SELECT|ERROR:|relation|pg_|plpgsql)/;
    return 'split headers' if exists $h->{'x-evil'};
    return 'not one piece' if exists $h->{'transfer-encoding'};
    return '' if $r->{status} < 400 || $r->{body} eq ''
        || $type eq 'application/cbor';
    return 'an error that is not JSON' if !$r->{json}
        || !defined $r->{json}{errorCode} || !defined $r->{json}{message};
    return '';
}


# request(METHOD, PATH, BODY, HEADERS...): its bytes
sub request {
    my ($method, $path, $body, @headers) = @_;
    my %has = map { lc((split /:/, $_, 2)[0]) => 1 } @headers;

    unshift @headers, 'Host: x' if !$has{host};
    push @headers, 'Content-Type: application/json'
        if defined $body && !$has{'content-type'};
    push @headers, 'Content-Length: ' . length $body
        if defined $body && !$has{'content-length'}
        && !$has{'transfer-encoding'};
    return join("\r\n", "$method $path HTTP/1.1", @headers, '', '')
        . ($body // '');
}


sub get { return request('GET', @_) }


1;
