package Goosebit::PgTap;

# pgTAP files as subtests, each in a database of its own.

use strict;
use warnings;

use File::Basename qw(basename);
use Goosebit::Test;

our @EXPORT_OK = qw(run_files);


sub import {
    my ($class, @names) = @_;
    no strict 'refs';
    *{caller() . "::$_"} = \&$_ for @names;
}


# run_files(STACK, FILES)
sub run_files {
    my ($s, @files) = @_;

    for my $file (@files) {
        (my $db = 'tap_' . basename($file, '.sql')) =~ s/\W/_/g;
        $s->sql("create database $db template goosebit",
            database => 'postgres');
        $s->sql('create extension if not exists pgtap', database => $db);
        subtest basename($file) => sub { one_file($s, $db, $file) };
        $s->sql("drop database $db with (force)", database => 'postgres');
    }
}


sub one_file {
    my ($s, $db, $file) = @_;
    local %ENV = (%ENV, %{$s->env}, PGDATABASE => $db);
    my $r = run(['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file],
        timeout => 300);
    my ($planned, $ran, $failed) = (undef, 0, 0);

    for (split /\n/, $r->{out}) {
        if (/^1\.\.(\d+)/) {
            $planned = $1;

        } elsif (/^(not )?ok \d+(?: - )?(.*)/) {
            $ran++;
            $failed = defined $1;
            my $name = $2;
            ok(!$failed, $name =~ s/\s*#.*//r);

        } elsif ($failed && /^# (.*)/) {
            diag($1);
        }
    }

    if ($r->{exit} != 0 || $r->{err} =~ /^psql:.*ERROR/m) {
        fail('psql got through the file');
        diag($r->{err});
    }
    is($ran, $planned, 'as many tests as planned');
}


1;
