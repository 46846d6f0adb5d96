package Goosebit::Pair;

# Two nginx with a zone each on one database, and quiet devices: what a poll
# says, and whether it came from the zone.
#
#   my $p = Goosebit::Pair->new(sync => '1s', zone => '8m');
#   my $sw = $p->software('1.0.0');
#   $p->rollout($sw, 'default');
#   $p->device('a', sw_version => '1.0.0', feed => 'default');
#   $p->warm('a');
#   my $answer = $p->poll(0, 'a');     # {cache, status, reason, text, r, ...}

use strict;
use warnings;

use Goosebit::Test;


# new(sync => TIME, zone => SIZE, more options of a stack)
sub new {
    my ($class, %opt) = @_;
    my $sync = delete $opt{sync} // '1s';
    my $zone = delete $opt{zone} // '8m';
    my %nginx = (
        http => "goosebit_cache zone=fleet:$zone; goosebit_sync $sync;"
            . ' keepalive_requests 1000000; keepalive_timeout 1h;',
        location => 'add_header X-Cache $goosebit_cache_status always;'
            . ' add_header X-Reason $goosebit_reason always;',
        %opt);
    my $one = stack(fsync => 'off', %nginx);
    my $two = stack(with => $one, %nginx);
    return bless { s => [$one, $two], http => [] }, $class;
}


sub first { $_[0]{s}[0] }
sub stacks { @{$_[0]{s}} }
sub sql { shift->{s}[0]->sql(@_) }
sub value { shift->{s}[0]->value(@_) }


# gbctl(ARGS): dies where it fails
sub gbctl {
    my ($self, @args) = @_;
    my $r = $self->{s}[0]->gbctl(@args);
    die "gbctl @args: $r->{err}" if $r->{exit} != 0;
    return $r;
}


# software(VERSION): for every board; gives its id
sub software {
    my ($self, $version) = @_;
    return $self->value(<<"SQL");
with s as (
    insert into goosebit.software (tenant_id, name, version, version_key,
        format, filename, size, sha256, sha1, md5)
    values (1, 'os', '$version', goosebit.version_key('$version'), 'swu',
        'a.swu', 1, repeat('a', 64), repeat('b', 40), repeat('c', 32))
    returning *
)
insert into goosebit.software_hardware
    (tenant_id, software_id, model, revision, version_key)
select 1, id, 'default', 'default', version_key from s returning software_id
SQL
}


# rollout(SOFTWARE, FEED, ARGS of gbctl): gives its id
sub rollout {
    my ($self, $software, $feed, @args) = @_;
    return $self->gbctl('rollout', 'create', '--software', $software, '--feed',
        $feed, @args, '-o', 'name')->{out} =~ s/\n//r;
}


# device(ID, COLUMN => SQL VALUE, ...): one that is registered
sub device {
    my ($self, $id, %column) = @_;
    %column = (sw_version => '1.0.0', %column);
    my @names = sort keys %column;
    $self->sql('insert into goosebit.device (tenant_id, controller_id, state,'
        . ' config_data_at' . join('', map { ", $_" } @names)
        . ") values (1, '$id', 'registered', now()"
        . join('', map { ", '$column{$_}'" } @names) . ')');
    return $id;
}


# poll(N, ID, token => T): at the N-th nginx, over a connection that stays
sub poll {
    my ($self, $n, $id, %opt) = @_;
    my @auth = defined $opt{token}
        ? (Authorization => "TargetToken $opt{token}") : ();
    my $r = $self->_get($n, ddi($id), @auth);
    my $links = join ' ', sort keys %{$r->{json}{_links} // {}};
    my $reason = $r->{headers}{'x-reason'} // '';
    return { cache => $r->{headers}{'x-cache'} // '', status => $r->{status},
        reason => $reason, body => $r->{body}, links => $links,
        text => "$r->{status} $reason [$links]", r => $r };
}


sub _get {
    my ($self, $n, $path, @headers) = @_;
    for (1, 2) {
        my $http = $self->{http}[$n] //= $self->{s}[$n]->http;
        my $r = eval { $http->request('GET', $path, headers => [@headers]) };
        return $r if $r;
        delete $self->{http}[$n];
    }
    die "no answer to $path\n";
}


# Polls everywhere until the answers come from the zone.
sub warm {
    my ($self, @ids) = @_;
    for my $n (0 .. $#{$self->{s}}) {
        for my $id (@ids) {
            wait_for { $self->poll($n, $id)->{cache} eq 'HIT' }
                or die "$id is not answered from the zone\n";
        }
    }
}


# slow_poll(SECONDS): from now on polls take so long in SQL, an expression in
# which $2 is the device; what changes meanwhile is not in their answers.
sub slow_poll {
    my ($self, $seconds) = @_;
    before_poll($self->first, "perform pg_sleep($seconds)");
}


# before_poll(STACK, STATEMENT): what SQL does from now on before it looks for a
# poll's answer; a function, for tests that have no pair.
sub before_poll {
    my ($s, $statement) = @_;
    $s->sql(<<"SQL");
alter function goosebit_ddi.poll(text, text, text, bytea, text, int, int)
    rename to poll_now;
create function goosebit_ddi.poll(text, text, text, bytea, text, int, int)
returns goosebit_ddi.poll_row language plpgsql stable security definer
set search_path = pg_catalog, pg_temp as \$\$
begin
    $statement;
    return goosebit_ddi.poll_now(\$1, \$2, \$3, \$4, \$5, \$6, \$7);
end \$\$;
grant execute on function goosebit_ddi.poll to goosebit_ddi;
SQL
}


# polls that went to SQL, at the N-th nginx: asked where the polls were, whose
# last is counted before the next request is read
sub misses {
    my ($self, $n) = @_;
    return $self->_get($n, '/status')->{json}{polls}{miss};
}


1;
