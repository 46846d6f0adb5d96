# Everything built lands under build/; build/asan holds the same again with
# AddressSanitizer and UndefinedBehaviorSanitizer.

VERSION   := 0.1.0
PREFIX    ?= /usr
DESTDIR   ?=
MODDIR    ?= $(PREFIX)/lib/nginx/modules
COMPBASH  := $(PREFIX)/share/bash-completion/completions
COMPFISH  := $(PREFIX)/share/fish/vendor_completions.d
COMPZSH   := $(PREFIX)/share/zsh/vendor-completions
NGINX_SRC ?= /usr/share/nginx/src
JOBS      ?= 2
FUZZ_SECONDS ?= 20

CC        ?= gcc
CLANG     ?= clang
CFLAGS    ?= -O2 -g
WARN      := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 \
             -Wswitch-enum
WERROR    := $(if $(CI),-Werror,-Wno-error)
HARDEN    := -fstack-protector-strong -D_FORTIFY_SOURCE=2
SANITIZE  := -fsanitize=address,undefined -fno-omit-frame-pointer

B         := build
A         := $(B)/asan
F         := $(B)/fuzz

PKGS      := jansson yaml-0.1 libarchive libconfig libsquashfs1 libcrypto libcbor \
             libpcre2-8
PKGS_CTL  := $(PKGS) libpq smartcols libcurl sqlite3 expat
INC       := $(shell pkg-config --cflags $(PKGS_CTL) 2>/dev/null)
LIBS      := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LIBS_CTL  := $(shell pkg-config --libs $(PKGS_CTL) 2>/dev/null) -lm

SHARED    := $(sort $(wildcard shared/*.c))
GBCTL     := $(sort $(wildcard gbctl/*.c))
UNIT      := $(sort $(wildcard t/unit/test_*.c))
UNITLIB   := $(sort $(filter-out $(UNIT),$(wildcard t/unit/*.c)))
FUZZ      := $(sort $(wildcard t/fuzz/fuzz_*.c))
TOOLS     := $(sort $(wildcard t/tools/*.c))
SQL       := $(sort $(wildcard sql/*.sql sql/*/*.sql))
MODULE    := ngx_goosebit_module
MODSRC    := $(wildcard $(MODULE)/*.c $(MODULE)/*.h) $(SHARED) \
             $(wildcard shared/*.h)
SO        := ngx_http_goosebit_module.so
EMBED     := $(firstword $(wildcard gbctl/embed.pl gbctl/embed.sh))
COMMON    := -std=gnu11 -fPIC -fvisibility=hidden -D_GNU_SOURCE -Ishared \
             -DGB_VERSION='"$(VERSION)"' $(WARN) $(WERROR)

ALL       := $(if $(wildcard $(MODULE)/config),$(B)/$(SO)) \
             $(if $(GBCTL),$(B)/gbctl $(B)/man/gbctl.1) \
             $(TOOLS:t/tools/%.c=$(B)/tools/%)
ALL_ASAN  := $(if $(wildcard $(MODULE)/config),$(A)/$(SO)) \
             $(if $(GBCTL),$(A)/gbctl) $(UNIT:t/unit/%.c=$(A)/unit/%)

# V=1 shows whole commands, -s nothing.
Q         := $(if $(V),,@)
say        = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf \
             '  %-6s %s\n' $(1) $(2))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help check check-unit check-sql check-nginx check-cli check-e2e \
        unit asan fuzz fuzz-build bench style install compile_commands.json \
        fresh clean FORCE

all: $(ALL)                    ## module and gbctl (default)

help:                          ## this list
	@sed -n 's/^\([a-z0-9_.-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) \
	    | awk -F'|' '{ printf "  %-24s %s\n", $$1, $$2 }'


# Objects depend on the flags they were made with, so that a change of CI= or
# CFLAGS= never leaves a mixture behind.

define flags_rule
$(1)/.flags: FORCE
	@mkdir -p $(1); printf '%s\n' '$(subst ','\'',$(2))' > $(1)/.flags.new; \
	    cmp -s $(1)/.flags.new $(1)/.flags && rm $(1)/.flags.new \
	    || mv $(1)/.flags.new $(1)/.flags
endef

# variant(dir, compiler, flags)
define variant
$(call flags_rule,$(1),$(2) $(3) $(COMMON) $(CFLAGS) $(INC))

$(1)/obj/%.o: %.c $(1)/.flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$(Q)$(2) $(COMMON) $(CFLAGS) $(3) $$(if $$(filter gbctl/%,$$<),-Igbctl) \
	    $(INC) -MMD -MP -c -o $$@ $$<

$(1)/obj/embed_sql.o: $(1)/gen/embed_sql.c $(1)/.flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$(Q)$(2) $(COMMON) $(CFLAGS) $(3) -Igbctl $(INC) -MMD -MP -c -o $$@ $$<

$(1)/gen/embed_sql.c: $(EMBED) $(SQL) $(1)/gen/.sql
	@mkdir -p $$(@D)
	$$(call say,EMBED,$$@)
	$(Q)$(EMBED) $$@ $(SQL)

$(1)/gen/.sql: FORCE
	@mkdir -p $$(@D); echo '$(SQL)' | cmp -s - $$@ || echo '$(SQL)' > $$@

$(1)/libgb.a: $(SHARED:%.c=$(1)/obj/%.o)
	$$(call say,AR,$$@)
	@rm -f $$@
	$(Q)ar rcsD $$@ $$^

$(1)/gbctl: $(GBCTL:%.c=$(1)/obj/%.o) \
    $(if $(EMBED),$(1)/obj/embed_sql.o) $(1)/libgb.a
	$$(call say,LINK,$$@)
	$(Q)$(2) $(CFLAGS) $(3) -Wl,-z,relro -Wl,-z,now -o $$@ $$^ $(LIBS_CTL)

$(1)/unit/%: $(1)/obj/t/unit/%.o $(UNITLIB:%.c=$(1)/obj/%.o) $(1)/libgb.a
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$(Q)$(2) $(CFLAGS) $(3) -o $$@ $$^ $(LIBS) -lcmocka -lpthread

-include $(patsubst %.c,$(1)/obj/%.d,$(SHARED) $(GBCTL) $(UNIT) $(UNITLIB))
endef

$(eval $(call variant,$(B),$(CC),$(HARDEN)))
$(eval $(call variant,$(A),$(CC),-O1 $(SANITIZE)))

$(B)/tools/%: t/tools/%.c t/tools/load.h $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(COMMON) $(CFLAGS) -o $@ $< -lpthread -lm


# The module: nginx's own configure and make, from Debian's nginx-dev. Its
# Makefile knows only the headers named in `config`, so any changed header
# makes all of the module's objects anew.
#
# NGINX's own default is -O, at which a compiler does not assume strict aliasing;
# at -O2 gcc 12 made a loop endless that was to empty one of its queues.

NGX_CC_OPT := -g -O2 -fno-strict-aliasing -fPIC -fno-common $(filter-out -Wextra,$(WARN)) $(WERROR)

# module(dir, extra compiler flags, extra linker flags)
define module
$(1)/nginx/objs/Makefile: $(MODULE)/config ci/module.map $(1)/nginx/.flags \
    $(NGINX_SRC)/conf_flags
	@rm -rf $(1)/nginx/objs $(1)/nginx/auto $(1)/nginx/configure
	@cp -RL $(NGINX_SRC)/auto $(NGINX_SRC)/configure $(1)/nginx/
	@ln -sfn $(NGINX_SRC)/src $(1)/nginx/src
	$$(call say,CONF,$(1)/nginx)
	$(Q)cd $(1)/nginx && bash -c '. $(NGINX_SRC)/conf_flags && \
	    ./configure "$$$${NGX_CONF_FLAGS[@]}" --with-cc="$(CC)" \
	    --with-cc-opt="$(NGX_CC_OPT) $(2)" \
	    --with-ld-opt="$(3) -Wl,-z,relro -Wl,-z,now -fPIC \
	    -Wl,--version-script=$(CURDIR)/ci/module.map" \
	    --add-dynamic-module=$(CURDIR)/$(MODULE)' > configure.log 2>&1 \
	    || { tail -n 20 configure.log >&2; exit 1; }

$(call flags_rule,$(1)/nginx,$(CC) $(NGX_CC_OPT) $(2) $(3) $(sort $(MODSRC)))

$(1)/$(SO): $(1)/nginx/objs/Makefile $(MODSRC)
	@$$(if $$(filter %.h %/Makefile,$$?),find $(1)/nginx/objs/addon \
	    -name '*.o' -delete)
	$$(call say,MODULE,$$@)
	$(Q)+flock $(1)/nginx/.lock $$(MAKE) -C $(1)/nginx -f objs/Makefile \
	    --no-print-directory $(if $(V),,-s) modules
	$(Q)cp $(1)/nginx/objs/$(SO) $$@.new && mv $$@.new $$@
endef

$(eval $(call module,$(B),$(HARDEN),))
$(eval $(call module,$(A),-O1 $(SANITIZE),$(SANITIZE)))


asan: $(ALL_ASAN)              ## the same under build/asan, sanitized

unit: $(UNIT:t/unit/%.c=$(B)/unit/%)

# Each target again with clang's libFuzzer; FUZZ_SECONDS= for each.
$(eval $(call flags_rule,$(F),$(CLANG) $(COMMON) $(INC)))

FUZZ_CC := $(CLANG) $(COMMON) $(INC) -g -O1 -Wno-unknown-warning-option \
           -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

$(F)/obj/%.o: %.c $(F)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) -MMD -MP -c -o $@ $<

$(F)/fuzz_%: $(F)/obj/t/fuzz/fuzz_%.o $(SHARED:%.c=$(F)/obj/%.o)
	$(call say,LINK,$@)
	$(Q)$(FUZZ_CC) -o $@ $^ $(LIBS)

-include $(patsubst %.c,$(F)/obj/%.d,$(SHARED) $(FUZZ))

fuzz-build: $(FUZZ:t/fuzz/%.c=$(F)/%)

fuzz: fuzz-build               ## run every fuzz target for FUZZ_SECONDS each
	@set -e; for t in $(FUZZ:t/fuzz/%.c=%); do \
	    mkdir -p $(F)/corpus/$$t; \
	    seeds=; [ ! -d t/fuzz/corpus/$$t ] || seeds=t/fuzz/corpus/$$t; \
	    echo "== $$t"; $(F)/$$t -max_total_time=$(FUZZ_SECONDS) \
	        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	        -artifact_prefix=$(F)/ $(F)/corpus/$$t $$seeds; \
	done


PROVE := prove -r -j$(JOBS)

check: all asan unit           ## every test, one summary (ci/test does more)
	ci/prove

check-unit: unit               ## unit tests of shared/
	$(PROVE) $(B)/unit

check-sql: all                 ## pgTAP tests
	$(PROVE) t/sql

check-nginx: all               ## the module, inside nginx
	$(PROVE) t/nginx

check-cli: all                 ## gbctl
	$(PROVE) t/cli

check-e2e: all                 ## real device clients
	$(PROVE) t/e2e

bench: all                     ## polls and cycles, side by side with nginx
	ci/bench
	ci/bench-gbctl
	ci/bench-fleet

style:                         ## house style and dependency edges
	ci/style
	ci/deps

fresh:                         ## both README commands in a bare Debian 12
	ci/fresh

clean:                         ## remove build/
	rm -rf $(B)


# Three pages in one go, from --help, the sample and the module's README.
$(B)/man/gbctl.1: ci/man $(B)/gbctl conf/goosebit.yaml $(MODULE)/README.md
	@mkdir -p $(@D)
	$(call say,MAN,$(@D))
	$(Q)ci/man $(B)/gbctl $(@D)


install: all                   ## DESTDIR= PREFIX=/usr
	install -D -m 755 $(B)/gbctl $(DESTDIR)$(PREFIX)/bin/gbctl
	install -D -m 644 $(B)/$(SO) $(DESTDIR)$(MODDIR)/$(SO)
	for s in 1 5 8; do \
	    install -d $(DESTDIR)$(PREFIX)/share/man/man$$s; \
	    install -m 644 $(B)/man/*.$$s $(DESTDIR)$(PREFIX)/share/man/man$$s/; \
	done
	install -d $(DESTDIR)$(COMPBASH) $(DESTDIR)$(COMPFISH) $(DESTDIR)$(COMPZSH)
	$(B)/gbctl completion bash > $(DESTDIR)$(COMPBASH)/gbctl
	$(B)/gbctl completion fish > $(DESTDIR)$(COMPFISH)/gbctl.fish
	$(B)/gbctl completion zsh > $(DESTDIR)$(COMPZSH)/_gbctl
	install -d $(DESTDIR)$(PREFIX)/share/goosebit
	cp -R sql $(DESTDIR)$(PREFIX)/share/goosebit/
	install -d $(DESTDIR)$(PREFIX)/share/doc/goosebit
	install -m 644 README.md ARCHITECTURE.md CHANGES.md LICENSE \
	    $(wildcard conf/*) $(DESTDIR)$(PREFIX)/share/doc/goosebit/
	install -m 644 $(MODULE)/README.md \
	    $(DESTDIR)$(PREFIX)/share/doc/goosebit/ngx_http_goosebit_module.md

compile_commands.json:         ## for editors and analysers, in build/
	@mkdir -p $(B)
	$(MAKE) --no-print-directory -nwB all unit \
	    | ci/compile-commands > $(B)/$@

FORCE:
