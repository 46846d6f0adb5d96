package Goosebit::Release;

# Signed images for real devices, their rollouts, and what gbctl then shows.

use strict;
use warnings;

use Digest::SHA;
use Goosebit::Test;
use List::Util qw(max);


# new(STACK): with a key of its own, whose certificate is in key()/cert.pem
sub new {
    my ($class, $s) = @_;
    my $self = bless { stack => $s, dir => tempdir() }, $class;
    my $r = run(['t/lib/fixtures/make-key', $self->{dir}]);
    $r->{exit} == 0 or die "make-key: $r->{err}\n";
    return $self;
}


sub key { $_[0]{dir} }


# An image, registered; its file. It is for a Goosebit::Swupdate, or for any
# client where there is none. Options: size of the firmware, exit of the script
# that ends its installation.
#
# At least twice what a socket holds (208 KB): SWUpdate's downloader hands all
# over to its installer by one, asks it then whether it is idle, and takes one
# that has not begun yet for one that is done: it would reboot with nothing
# installed (server_process_update_artifact in suricatta/server_hawkbit.c).
sub swu {
    my ($self, $device, $version, %opt) = @_;
    my $size = max($opt{size} // 1_000_000,
        2 * slurp('/proc/sys/net/core/wmem_default'));
    my $file = "$self->{dir}/image-$version.swu";
    my $script = "$self->{dir}/script-$version";

    my $path = $device ? $device->slot : '/nowhere';

    spew($script, "#!/bin/sh\nexit " . ($opt{exit} // 0) . "\n");
    _done('make-swu', run(['t/lib/fixtures/make-swu', '-o', $file,
        '-V', $version, '-H', 'test-board:rev1', '-s', $size,
        '-p', "$path/firmware", '-S', $script, '-k', $self->{dir}]));
    _done('software add', $self->{stack}->gbctl('software', 'add', $file));
    return $file;
}


# A RAUC bundle, registered; its file. Options: compatible, size.
sub raucb {
    my ($self, $version, %opt) = @_;
    my $file = "$self->{dir}/bundle-$version.raucb";

    _done('make-raucb', run(['t/lib/fixtures/make-raucb', '-o', $file,
        '-V', $version, '-C', $opt{compatible}, '-s', $opt{size} // 200_000,
        '-k', $self->{dir}]));
    _done('software add', $self->{stack}->gbctl('software', 'add', $file));
    return $file;
}


# Makes a version the rollout of the feed; its id.
sub rollout {
    my ($self, $version, @options) = @_;
    my $r = $self->{stack}->gbctl(qw(rollout create -o json --software),
        $version, @options);
    _done('rollout create', $r);
    return $r->{json}{id};
}


# What gbctl shows of a device or rollout.
sub shown {
    my ($self, $noun, $id) = @_;
    return $self->{stack}->gbctl($noun, 'show', $id, '-o', 'json')->{json}
        // {};
}


# Waits until a device is in this state.
sub reaches {
    my ($self, $device, $state, $seconds) = @_;
    return wait_for {
        my $now = $self->shown('device', $device)->{state} // '';
        sleep 0.1 if $now ne $state;
        $now eq $state;
    } $seconds // 60;
}


# Its newest action, as `device history` shows it.
sub action {
    my ($self, $device) = @_;
    my $r = $self->{stack}->gbctl(qw(device history -o json), $device);
    return ref $r->{json} eq 'ARRAY' ? $r->{json}[0] : undef;
}


# Waits for the device's reboot, and compares what it has then with the image.
sub installed {
    my ($self, $device, $file, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $good = ok($device->rebooted, $name // 'installed');
    $good = is($self->digest($device->slot . '/firmware'),
        $self->firmware_digest($file), 'the bytes of the image') && $good;
    diag($device->story) if !$good;
    return $good;
}


# SHA-256 of the image inside a .swu.
sub firmware_digest {
    my ($self, $file) = @_;
    return Digest::SHA::sha256_hex(run(['cpio', '-i', '--quiet',
        '--to-stdout', 'firmware.img'], stdin => slurp($file))->{out});
}


sub digest {
    my ($self, $file) = @_;
    return 'no such file' if !-e $file;
    return Digest::SHA->new(256)->addfile($file)->hexdigest;
}


sub _done {
    my ($what, $r) = @_;
    die "$what: $r->{err}\n" if $r->{exit};
}


1;
