package Goosebit::Fleet;

# Devices over HTTP, as plain as they come, for tests of gbctl.
#
#   use Goosebit::Fleet;
#   my $s = stack(fsync => 'off');
#   my $f = Goosebit::Fleet->new($s);
#   $f->software('1.0', 'board:r1');
#   $f->register('a', sw_version => '0.9');
#   my ($kind, $action) = $f->poll('a');

use strict;
use warnings;

use Goosebit::Test;


sub new {
    my ($class, $stack) = @_;
    return bless { s => $stack, dir => tempdir, n => 0 }, $class;
}


# software(VERSION, 'model:revision', ...): registers an image, gives its id
sub software {
    my ($self, $version, @hardware) = @_;
    my $file = "$self->{dir}/os-$version-" . ++$self->{n} . '.swu';
    system('t/lib/fixtures/make-swu', '-o', $file, '-V', $version, '-n', 'os',
        map { ('-H', $_) } @hardware) == 0 or die "make-swu failed\n";
    my $r = $self->{s}->gbctl('software', 'add', $file, '-o', 'name');
    die "software add: $r->{err}" if $r->{exit} != 0;
    return $r->{out} =~ s/\n//r;
}


# A first poll, then configData.
sub register {
    my ($self, $id, %data) = @_;
    $self->poll($id);
    my $r = $self->{s}->put(ddi($id, 'configData'), json => { data => {
        hw_model => 'board', hw_revision => 'r1', %data } });
    die "configData: $r->{status}\n" if $r->{status} != 200;
}


# What a poll offers beside installedBase: (link's name, action id), or ()
sub poll {
    my ($self, $id) = @_;
    my $links = $self->{s}->get(ddi($id))->{json}{_links} // {};
    for my $kind (qw(deploymentBase cancelAction configData)) {
        my $href = ($links->{$kind} // next)->{href};
        return ($kind, $href =~ m{/\Q$kind\E/(\d+)} ? $1 : ());
    }
    return;
}


# Polls and reads the deployment as a client does; gives the action id.
sub fetch {
    my ($self, $id) = @_;
    my ($kind, $action) = $self->poll($id);
    return if ($kind // '') ne 'deploymentBase';
    my $r = $self->{s}->get(ddi($id, 'deploymentBase', $action));
    die "deploymentBase: $r->{status}\n" if $r->{status} != 200;
    return $action;
}


# report(ID, ACTION, EXECUTION, FINISHED, DETAILS...): the HTTP status
sub report {
    my ($self, $id, $action, $execution, $finished, @details) = @_;
    return $self->feedback('deploymentBase', $id, $action, $execution,
        $finished, @details);
}


sub feedback {
    my ($self, $kind, $id, $action, $execution, $finished, @details) = @_;
    return $self->{s}->post(ddi($id, $kind, $action, 'feedback'), json => {
        id => $action, status => { execution => $execution,
            result => { finished => $finished // 'none' },
            details => \@details } })->{status};
}


1;
