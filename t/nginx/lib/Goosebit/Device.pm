package Goosebit::Device;

# A device as tests of the DDI see it: a stack and a controller id. Its
# software comes from gbctl, so that nothing here knows a table.

use strict;
use warnings;

use File::Temp ();
use Test::More ();


# new(STACK, ID, token => T)
sub new {
    my ($class, $s, $id, %opt) = @_;
    return bless { s => $s, id => $id, headers => [
        defined $opt{token}
            ? (Authorization => "TargetToken $opt{token}") : (),
    ] }, $class;
}


sub id { $_[0]{id} }


sub path {
    my ($self, @rest) = @_;
    my $id = $self->{id} =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
    return join '/', "/DEFAULT/controller/v1/$id", @rest;
}


sub get {
    my ($self, @rest) = @_;
    return $self->{s}->get($self->path(@rest), headers => $self->{headers});
}


sub poll { $_[0]->get }


# Says what it is; by then it is registered.
sub register {
    my ($self, %data) = @_;
    $self->poll;
    return $self->{s}->put($self->path('configData'),
        headers => $self->{headers}, json => { data => {
            hw_model => 'board', hw_revision => '1', sw_version => '1.0.0',
            %data,
        } });
}


# Polls until there is an action; its id.
sub action {
    my ($self) = @_;
    my $href = $self->poll->{json}{_links}{deploymentBase}{href} // '';
    return $href =~ m{/deploymentBase/(\d+)\?c=} ? $1 : undef;
}


# feedback(ACTION, EXECUTION, FINISHED, more of status)
sub feedback {
    my ($self, $action, $execution, $finished, %more) = @_;
    return $self->{s}->post($self->path('deploymentBase', $action, 'feedback'),
        headers => $self->{headers}, json => { id => $action, status => {
            execution => $execution,
            result => { finished => $finished // 'none' }, %more,
        } });
}


# image(STACK, VERSION, filename => F, NAME => VALUE of make-swu...): registers
# an image; what gbctl says of it, and {bytes}.
sub image {
    my ($s, $version, %opt) = @_;
    my $dir = File::Temp->newdir('gbi.XXXXXX', TMPDIR => 1);
    my $file = "$dir/" . (delete $opt{filename} // "image-$version.swu");

    system('t/lib/fixtures/make-swu', '-o', $file, '-V', $version,
        '-H', 'board:1', map { ("--$_", $opt{$_}) } sort keys %opt) == 0
        or die "make-swu failed\n";

    my $got = $s->gbctl('software', 'add', $file, '-o', 'json');
    my $added = ref $got->{json} eq 'ARRAY' ? $got->{json}[0] : $got->{json};
    Test::More::diag($got->{err}) if $got->{exit};
    die "gbctl software add: exit $got->{exit}\n" if $got->{exit};

    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;
    return { %$added, bytes => scalar readline $fh };
}


# rollout(STACK, SOFTWARE ID, OPTIONS of gbctl...): its id
sub rollout {
    my ($s, $software, @options) = @_;
    my $got = $s->gbctl('rollout', 'create', '--software', $software,
        @options, '-o', 'json');
    die "gbctl rollout create: $got->{err}\n" if $got->{exit};
    return $got->{json}{id};
}


1;
