package Stack::Nginx;

# nginx's part of a stack: configuration, a free port, start, stop.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use Time::HiRes qw(sleep time);

use Stack::Port;
use Stack::Util;

our @EXPORT = qw(nginx_up nginx_start nginx_stop nginx_pid asan_options);


# nginx can't listen on port 0, so a free port is looked for, and another one if
# somebody was quicker.
sub nginx_up {
    my ($s) = @_;

    -f $s->{module} or die "$s->{module} is missing: run make\n";

    for my $try (1 .. 20) {
        $s->{port} = $ENV{GB_PORT} || free_port($s->{listen});
        nginx_conf($s);
        my $err = eval { nginx_start($s); 1 } ? return : $@;
        die $err if $s->{fixed} || $err !~ /Address already in use/;
    }
    die "no free port\n";
}


sub nginx_conf {
    my ($s) = @_;
    my $text = $ENV{GB_NGINX_CONF} // default_conf();
    my %fill = (
        DIR     => $s->{dir},
        PORT    => $s->{port},
        LISTEN  => $s->{listen},
        LISTEN_OPTIONS => $ENV{GB_LISTEN_OPTIONS} // '',
        SOCKET  => $s->{socket},
        MODULE  => $s->{module},
        USER    => $s->{user} ? "user $s->{user};" : '',
        WORKERS => $ENV{GB_WORKERS} || 2,
        ENV     => $s->{asan} ? 'env LD_PRELOAD; env ASAN_OPTIONS;' : '',
        DATABASE => '"dbname=goosebit host=' . $s->{socket}
            . ' user=goosebit_ddi" ' . ($ENV{GB_DATABASE} // ''),
        map { ("NGINX_$_" => $ENV{"GB_NGINX_$_"} // '') }
            qw(MAIN HTTP SERVER LOCATION),
    );

    # Snippets may hold placeholders themselves.
    for (1, 2) {
        $text =~ s/\@([A-Z_]+)\@/$fill{$1} \/\/ "\@$1\@"/ge;
    }
    spew("$s->{dir}/nginx.conf", $text);
}


sub default_conf {
    my $temp = join "\n    ", map { qq{${_}_temp_path "\@DIR\@/tmp/$_";} }
        qw(client_body proxy fastcgi uwsgi scgi);
    return <<"CONF";
load_module "\@MODULE\@";
\@USER\@
\@ENV\@
worker_processes \@WORKERS\@;
worker_rlimit_nofile 16384;
pid "\@DIR\@/nginx.pid";
error_log "\@DIR\@/logs/error.log" info;
\@NGINX_MAIN\@

events {
    worker_connections 4096;
}

http {
    $temp
    access_log "\@DIR\@/logs/access.log";
    goosebit_config "\@DIR\@/goosebit.yaml";
    goosebit_database \@DATABASE\@;
    \@NGINX_HTTP\@

    server {
        listen \@LISTEN\@:\@PORT\@ \@LISTEN_OPTIONS\@;
        \@NGINX_SERVER\@

        location / {
            goosebit;
            \@NGINX_LOCATION\@
        }

        location = /status {
            goosebit_status;
        }
    }
}
CONF
}


sub nginx_start {
    my ($s) = @_;
    my %env;

    if ($s->{asan}) {
        chomp(my $lib = run({}, 'gcc', '-print-file-name=libasan.so'));
        chomp(my $ub = run({}, 'gcc', '-print-file-name=libubsan.so'));
        %env = (
            LD_PRELOAD    => abs_path($lib) . ' ' . abs_path($ub),
            ASAN_OPTIONS  => asan_options(),
            UBSAN_OPTIONS => 'print_stacktrace=1',
        );
    }

    # By its path, which a new binary (USR2) is started by as well.
    my ($nginx) = grep { -x } map { "$_/nginx" } split /:/, $ENV{PATH};
    my ($rc, $out) = run({ may_fail => 1, env => \%env }, $nginx // 'nginx',
        '-p', "$s->{dir}/", '-e', "$s->{dir}/logs/error.log", '-c',
        "$s->{dir}/nginx.conf");
    die "nginx did not start:\n$out" if $rc != 0;

    my $until = time + 60;
    while (!nginx_pid($s)) {
        die "nginx did not start\n" if time > $until;
        sleep 0.005;
    }
}


sub nginx_pid {
    my ($s) = @_;
    my ($pid) = (slurp("$s->{dir}/nginx.pid") // '') =~ /^(\d+)/ or return;
    my $cmd = slurp("/proc/$pid/cmdline") // return;
    return index($cmd, "$s->{dir}/nginx.conf") >= 0 ? $pid : undef;
}


# Everything of this nginx: the master, and workers even if their master was
# killed; they are known by the log they hold open.
sub nginx_all {
    my ($s) = @_;
    my @pids;

    for my $proc (glob '/proc/[0-9]*') {
        (readlink "$proc/exe" // '') =~ m{/nginx(?: \(deleted\))?$} or next;
        push @pids, $proc =~ /(\d+)$/
            if grep { (readlink // '') eq "$s->{dir}/logs/error.log" }
                glob "$proc/fd/*";
    }
    return @pids;
}


sub nginx_stop {
    my ($s) = @_;
    my @pids = nginx_all($s);
    my $until = time + 30;

    kill TERM => @pids if @pids;
    while (@pids && time < $until) {
        sleep 0.01;
        @pids = nginx_all($s);
    }
    kill KILL => @pids if @pids;
    unlink "$s->{dir}/nginx.pid";
}


sub asan_options {
    return join ':', 'detect_leaks=0', 'detect_stack_use_after_return=1',
        'abort_on_error=0', 'handle_abort=1', 'print_stacktrace=1';
}


1;
