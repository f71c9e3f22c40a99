# Dither: every entry point. `make` lists the verbs; options are variables, e.g. `make sim CONFIG=nano`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ------------------------------------------------------------------------------------------ options
CONFIG  ?= tiny
SEED    ?= 1
TRACE   ?= 0
THREADS ?= 1
BACKEND ?= rtl
IMAGES  ?= 1000
SHAPES  ?= 500
DRAW    ?= mixed
IMAGE   ?=
DATASET ?= auto
LIB     ?=
BLOCKS  ?= all
POINTS  ?= main
JOBS    ?= $(shell nproc)
FILTER  ?=
SIM_ARGS ?=
EPOCHS  ?= 20
BATCH   ?= 32
MODE    ?= bf16-sr
TRAIN_ARGS ?=
SETS    ?=
MODES   ?=
SEEDS   ?=
DATA    ?=
STUDY   ?= run
STUDY_ARGS ?=

CONFIGS := nano tiny small full nanopair
one_of = $(if $(filter-out $(words $($(1))),1)$(filter-out $(2),$($(1))),$(error $(1)=$($(1)): choose one of $(2)))
$(call one_of,CONFIG,$(CONFIGS))
$(call one_of,TRACE,0 1)
$(call one_of,THREADS,1 2 4 8)
$(call one_of,BACKEND,rtl functional)
$(call one_of,DATASET,auto mnist digits fashion)
number = $(if $(shell [[ '$($(1))' =~ ^[0-9]+$$ && '$($(1))' -ge $(2) && '$($(1))' -le $(3) ]] || echo bad),$(error $(1)=$($(1)): a whole number from $(2) to $(3)))
# Of 64 bits, more than the shell's numbers: compared as text.
$(if $(shell [[ '$(SEED)' =~ ^[0-9]{1,20}$$ && ( $${#BASH_REMATCH} -lt 20 || ! '$(SEED)' > 18446744073709551615 ) ]] || echo bad),$(error SEED=$(SEED): a whole number from 0 to 18446744073709551615))
$(call number,SHAPES,0,100000)
$(call one_of,DRAW,mixed uniform log)
$(call number,IMAGES,1,100000)
$(call number,JOBS,1,256)
$(call number,EPOCHS,0,100000)
$(call number,BATCH,1,512)
$(call one_of,MODE,fp32 bf16-rne bf16-sr fp8-sr mixed)

ROWS_nano := 8
ROWS_tiny := 16
ROWS_small := 32
ROWS_full := 128
ROWS_nanopair := 8
# Options of the core beside its size.
OPTIONS_nanopair := "-GPairs=1'b1"

# Parallel by default: recipes that build call this.
BUILD = $(MAKE) $(if $(findstring j,$(filter -j%,$(MAKEFLAGS))$(findstring jobserver,$(MAKEFLAGS))),,-j$(JOBS) --output-sync=target)

# One word of the shell, quotes and all.
quoted = '$(subst ','\'',$(1))'

# -------------------------------------------------------------------------------------------- verbs
.PHONY: help deps sim train test regress wave lint synth explore bench bench-gemm bench-train format clean gen all-tests
help: ## list the verbs and options
	@echo 'Dither: make VERB [OPTION=value ...]'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
	@echo 'Evidence on its own:'
	@sed -nE 's/^([a-z-]+):[^#]* # (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo 'Options (with defaults): CONFIG=$(CONFIG) ($(CONFIGS)), SEED=$(SEED), TRACE=$(TRACE) (1: waves), THREADS=$(THREADS),'
	@echo '  sim: BACKEND=$(BACKEND) (rtl functional), IMAGES=$(IMAGES), IMAGE=file.pgm, DATASET=$(DATASET) (auto mnist digits fashion)'
	@echo '  train: EPOCHS=$(EPOCHS), BATCH=$(BATCH), MODE=$(MODE) (fp32 bf16-rne bf16-sr fp8-sr mixed), TRAIN_ARGS=options of build/tiny/train'
	@echo '  study: SETS, MODES, SEEDS=10, EPOCHS, DATA=own file, STUDY=run (cost batch tune report status), STUDY_ARGS (scripts/study.py --help)'
	@echo '  bench-gemm: SHAPES=$(SHAPES), DRAW=$(DRAW) (mixed uniform log)'
	@echo '  synth, explore: LIB=liberty file, BLOCKS=$(BLOCKS), POINTS=$(POINTS)      test: FILTER=Catch2 test specification      JOBS=$(JOBS)'
	@echo '  proof, soak: UNITS=$(UNITS)      bench: BUILDS=1 (build times), SYNTH=1 (synthesis as well)'

deps: ## install what is missing (Debian packages, pictures)
	@DATASET=$(DATASET) scripts/setup.sh sim synth wave

sim: ## train the digit classifier on the host, run the held-out pictures through the core
	@DATASET=$(DATASET) scripts/setup.sh sim
	@+$(BUILD) build/$(VARIANT)/digits build/host/host_train
	@+$(MAKE) -s build/model/$$(DATASET=$(DATASET) scripts/fetch_data.sh --which).dmlp
	@mkdir -p build/wave
	@build/$(VARIANT)/digits --model build/model/$$(DATASET=$(DATASET) scripts/fetch_data.sh --which).dmlp \
	  --backend $(BACKEND) --images $(IMAGES) $(if $(IMAGE),--image '$(IMAGE)') --seed $(SEED) \
	  $(if $(filter 1,$(TRACE)),--trace build/wave/digits.fst) $(SIM_ARGS)

train: ## train the digit classifier on the core: first steps on the RTL too, bit by bit (TRAIN_ARGS=--help)
	@DATASET=$(DATASET) scripts/setup.sh sim
	@+$(BUILD) build/$(VARIANT)/train
	@mkdir -p build/train
	@build/$(VARIANT)/train --data build/data/$$(DATASET=$(DATASET) scripts/fetch_data.sh --which) --seed $(SEED) \
	  --epochs $(EPOCHS) --batch $(BATCH) --mode $(MODE) $(TRAIN_ARGS)

test: ## build and run every test, lint, generated-file check, the main job, synthesis of nano blocks
	@scripts/setup.sh sim synth wave
	@+$(BUILD) all-tests
	@+$(MAKE) -s build/model/$$(scripts/fetch_data.sh --which).dmlp
	@python3 scripts/run_tests.py --jobs $(JOBS) $(if $(FILTER),--filter '$(FILTER)') $(TEST_PROGRAMS) \
	  $(foreach c,$(CHECKS),--check $(call quoted,$(c)=$(CHECK_$(c))))

regress: ## what takes longer: the full 128 x 128 array, `small` whole, all main-job pictures
	@scripts/setup.sh sim synth
	@+$(BUILD) $(ARRAY_FULL)/test build/test/system-small build/small/digits build/tiny/digits build/host/host_train \
	  build/tiny/gemm_bench build/small/gemm_bench
	@+$(MAKE) -s build/model/$$(scripts/fetch_data.sh --which).dmlp
	@python3 scripts/run_tests.py --jobs $(JOBS) --timeout 7200 $(ARRAY_FULL)/test build/test/system-small \
	  --check 'synth-nano=python3 synth/synth.py --config nano --jobs 1 --no-results' \
	  --check 'main-job-tiny=build/tiny/digits --model build/model/$$(scripts/fetch_data.sh --which).dmlp --images 2000' \
	  --check 'main-job-small=build/small/digits --model build/model/$$(scripts/fetch_data.sh --which).dmlp --images 2000 --stochastic' \
	  --check 'gemm-tiny=build/tiny/gemm_bench --bars --seed $(SEED)' --check 'gemm-small=build/small/gemm_bench --bars --seed $(SEED) --shapes 60'

wave: ## run a short program with FST waves and open GTKWave
	@scripts/setup.sh --no-data sim wave
	@+$(BUILD) build/nano-trace/wave_demo
	@scripts/wave.sh build/nano-trace/wave_demo build/wave/demo.fst --seed $(SEED)

lint: ## Verilator -Wall on every configuration, yosys reads every file, house rules
	@scripts/setup.sh --no-data sim synth
	@scripts/lint.sh

synth: ## yosys and OpenSTA: area, timing, memory bits by block (CONFIG=nano is quick)
	@scripts/setup.sh --no-data synth
	@python3 synth/synth.py --config $(CONFIG) --blocks $(BLOCKS) $(if $(LIB),--lib $(LIB)) --jobs $(JOBS)

explore: ## the PE array's design points: area, path, accuracy, table and picture (LIB=, POINTS=)
	@scripts/setup.sh --no-data synth docs
	@python3 synth/explore.py --points $(POINTS) $(if $(LIB),--lib $(LIB))

bench: ## measure the figures of docs/results.md and say which moved
	@scripts/setup.sh sim synth
	@+$(BUILD) build/$(VARIANT)/bench build/$(VARIANT)/digits build/tb/pe_array-16/bench build/host/host_train
	@scripts/bench.sh $(CONFIG) build/$(VARIANT)

bench-gemm: ## how busy the array is: 512^3, a cold product, SHAPES random ones from SEED, bit-exact
	@scripts/setup.sh --no-data sim
	@+$(BUILD) build/$(VARIANT)/gemm_bench
	@mkdir -p build/results.d
	@build/$(VARIANT)/gemm_bench --config $(CONFIG) --shapes $(SHAPES) --seed $(SEED) --draw $(DRAW) --bars \
	  --json build/gemm-$(CONFIG).json --out build/results.d/gemm-$(CONFIG).json
	@scripts/results.py diff --prefix gemm.

# STUDY=run trains what is not trained yet; cost and batch measure steps on the Verilated core; scripts/study.py --help.
.PHONY: study
study: ## train on real data in five numeric modes, table and curves (SETS, MODES, SEEDS, EPOCHS, DATA=own file, STUDY=cost)
	@scripts/setup.sh --no-data sim docs
	@+$(BUILD) build/host/study_run build/host/study_host $(if $(filter cost batch,$(STUDY)),build/$(CONFIG)/study_cost)
	@python3 scripts/study.py $(STUDY) --jobs $(JOBS) --config $(CONFIG) $(if $(SETS),--sets '$(SETS)') $(if $(MODES),--modes '$(MODES)') \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(filter-out file,$(origin EPOCHS)),--epochs $(EPOCHS)) $(if $(DATA),--data '$(DATA)') $(STUDY_ARGS)

bench-train: ## cycles of training steps in bf16-sr and mixed precision, and digits trained in bf16-sr (minutes)
	@scripts/setup.sh sim
	@+$(BUILD) build/$(VARIANT)/train_bench build/$(VARIANT)/train
	@scripts/bench_train.py --config $(CONFIG) --data build/data/$$(scripts/fetch_data.sh --which)
	@scripts/results.py diff --prefix train.

# The array's own proofs and long runs: make proof-array, soak-array, mutants (docs/verification.md).
PROOFS ?=
MUTANTS ?= 500
.PHONY: proof-array soak-array mutants activity
proof-array: # the PE against its specification, part by part (PROOFS=quick or names)
	@scripts/setup.sh --no-data synth
	@python3 scripts/array_proof.py $(if $(filter quick,$(PROOFS)),--quick) $(filter-out quick,$(PROOFS))
activity: # capacitance a PE switches, by the share of zeros among the operands (LIB=)
	@scripts/setup.sh --no-data synth
	@python3 synth/activity.py $(if $(LIB),--lib $(LIB))
DOTS   ?= 1000000000
$(call number,DOTS,1,9223372036854775807)
soak-array: # every bf16 product, DOTS=1000000000 dot products: 1.5 hours
	@scripts/setup.sh --no-data sim
	@+$(BUILD) build/soak/pe_array-16 build/soak/pe_array-16-d4 build/test/pe_product build/test/pe_product-structure
	@build/test/pe_product -d yes '[bf16]'
	@build/test/pe_product-structure -d yes '[bf16]'
	@build/soak/pe_array-16-d4 --dots $$(($(DOTS) / 10)) --seed $(SEED)
	@build/soak/pe_array-16 --dots $(DOTS) --seed $(SEED)
mutants: ## faults in the PE's gates: each has to be noticed by the test or shown to be none (MUTANTS=500)
	@scripts/setup.sh --no-data sim synth
	@python3 scripts/mutants.py --count $(MUTANTS) --seed $(SEED) --jobs $(JOBS)

functions: ## fit the scalar engine's function tables again (sim/function/tables.cpp), every bf16 input checked
	@+$(BUILD) build/host/functions
	@build/host/functions write
# make function NAME=mish EXPR='x * tanh(softplus(x))' [SYMMETRY=odd|even]: docs/blocks/scalar_engine.md
NAME     ?= mish
EXPR     ?= x * tanh(softplus(x))
SYMMETRY ?=
$(if $(shell [[ '$(NAME)' =~ ^[A-Za-z_][A-Za-z0-9_]{0,31}$$ ]] || echo bad),$(error NAME=$(NAME): letters, digits and _, at most 32))
function: ## a function of one's own: fit, check every bf16 input, load and use it (NAME= EXPR= SYMMETRY=)
	@+$(BUILD) build/host/functions
	@mkdir -p build/functions
	@build/host/functions fit '$(NAME)' '$(EXPR)' 'build/functions/$(NAME).dft' $(SYMMETRY)
STEP ?= 1
$(call number,STEP,1,4294967295)
FUNCTIONS ?= exp log rsqrt reciprocal tanh
soak-functions: # the fp32 error on all 2^32 inputs (STEP=1), FUNCTIONS=names: minutes each
	@+$(BUILD) build/host/functions
	@build/host/functions soak $(STEP) $(FUNCTIONS)
.PHONY: functions function soak-functions

gen: ## regenerate package, header and page from scripts/isa.toml, and docs/results.md
	@python3 scripts/gen_isa.py
	@python3 scripts/results.py render

UNITS ?= rounder array
proof: $(UNITS:%=proof-%) ## formal proofs (UNITS=rounder, array): for every input, and refuted for known faults
soak: $(UNITS:%=soak-%) ## minutes to hours of enumeration on the RTL (the same UNITS; array: DOTS=, SEED=)
.PHONY: proof soak proof-rounder soak-rounder stats-rounder dieharder pictures-rounder cost-rounder
proof-rounder: # the rounder against its specification, and 26 faults refuted
	@scripts/setup.sh --no-data synth
	@python3 scripts/proof.py --mutants --jobs $(JOBS)
soak-rounder: # every fraction and word, 562 million inputs: minutes
	@scripts/setup.sh --no-data sim
	@+$(BUILD) build/soak/rounder
	@build/soak/rounder -d yes
stats-rounder: # statistics of the random words at full length
	@scripts/setup.sh --no-data sim
	@+$(BUILD) build/host/rounder_stats
	@build/host/rounder_stats --results build/results.d/rounder.json
	@python3 scripts/results.py gather
dieharder: # dieharder on the random words: docs/dieharder.md, a quarter of an hour
	@scripts/setup.sh --no-data sim random
	@+$(BUILD) build/host/rounder_words
	@scripts/dieharder.sh build/host/rounder_words
pictures-rounder: # sums, errors and drift of roundings: docs/pictures/rounder_*.png
	@scripts/setup.sh --no-data sim docs
	@+$(BUILD) build/host/rounder_stats
	@build/host/rounder_stats --pictures build/pictures
	@gnuplot -e "data='build/pictures'; out='docs/pictures'" docs/pictures/rounder.gp
cost-rounder: # area of stochastic rounding and of its random source (LIB=)
	@scripts/setup.sh --no-data synth
	@python3 synth/rounder_cost.py $(if $(LIB),--lib $(LIB))

format: ## clang-format the C++ sources
	@scripts/setup.sh --no-data format
	@git ls-files '*.cpp' '*.hpp' | grep -v '^sim/isa/' | xargs clang-format -i

clean: ## remove everything built (keeps downloaded data)
	@find build -mindepth 1 -maxdepth 1 ! -name data -exec rm -rf {} + 2>/dev/null || true

# --------------------------------------------------------------------------------------- host C++
CCACHE := $(shell command -v ccache)
CXX := $(CCACHE) g++
VERILATOR_INC := /usr/share/verilator/include
CXXFLAGS := -std=c++20 -O2 -ffp-contract=off -Wall -Wextra -Werror -MMD -MP -I.

HOST_SRC := $(filter-out sim/host_train/host_train_main.cpp,$(wildcard sim/data/*.cpp sim/host_train/*.cpp sim/train/*.cpp sim/model/*.cpp sim/function/*.cpp \
  sim/program/*.cpp sim/program/train/*.cpp sim/device/*.cpp sim/golden/*.cpp))
HOST_OBJ := $(HOST_SRC:%.cpp=build/host/%.o)
LIBS := -lfmt -lz -lpthread

build/host/%.o: %.cpp
	@mkdir -p $(@D)
	@echo '  c++      $<'
	@$(CXX) $(CXXFLAGS) $(FLAGS_$(basename $(notdir $<))) -c $< -o $@
FLAGS_column_block := -O3
FLAGS_row_kernels := -O3
FLAGS_tile_product := -O3
FLAGS_study_host := -O3

build/host/libdither.a: $(HOST_OBJ)
	@rm -f $@
	@ar rcs $@ $^
build/host/host_train: build/host/sim/host_train/host_train_main.o build/host/libdither.a
	@g++ $^ $(LIBS) -o $@
build/host/study_run build/host/study_host: build/host/%: build/host/sim/app/%.o build/host/libdither.a
	@g++ $^ $(LIBS) -o $@
build/host/functions: build/host/sim/app/functions.o build/host/libdither.a
	@g++ $^ $(LIBS) -o $@
build/host/rounder_%: build/host/sim/app/rounder_%.o
	@g++ $^ $(LIBS) -o $@
build/model/%.dmlp: build/host/host_train build/data/%/images.idx3
	@mkdir -p $(@D)
	@build/host/host_train --data build/data/$* --out $@
build/data/%/images.idx3:
	@DATASET=$* scripts/fetch_data.sh

# -------------------------------------------------------------------------------- verilated models
# build/<variant>/ holds the core of one configuration and the programs linked with it.
VARIANT := $(CONFIG)$(if $(filter 1,$(TRACE)),-trace)$(if $(filter-out 1,$(THREADS)),-t$(THREADS))
RTL_PKGS := rtl/isa/dither_pkg.sv rtl/tensor/array_pkg.sv rtl/fp/fp_pkg.sv rtl/rounder/rounder_pkg.sv rtl/stream/lane_seed_pkg.sv rtl/stream/stream_pkg.sv rtl/vector/vector_pkg.sv rtl/scalar/exp2_pkg.sv rtl/scalar/func_pkg.sv
RTL_DIRS := $(patsubst %/,%,$(wildcard rtl/*/))
VERILATE := verilator --cc -O3 --unroll-count 256 --x-assign fast --x-initial fast --MMD --MP -Irtl/common \
  $(addprefix -y ,$(RTL_DIRS)) scripts/lint.vlt
VL_MAKE = @+$(MAKE) -s -C $(@D) OPT_FAST='-O2 -fno-stack-protector' OPT_SLOW=-O0 OPT_GLOBAL=-O2 OBJCACHE=$(CCACHE)
VL_FLAGS = $(CXXFLAGS) -isystem $(VERILATOR_INC) -isystem $(VERILATOR_INC)/vltstd -DVERILATOR=1

# $(1) variant, $(2) configuration, $(3) more Verilator options, $(4) trace 0/1, $(5) more link options
define variant
build/$(1)/core/Vdither_core.mk:
	@mkdir -p $$(@D)
	@echo '  verilate $(1)'
	@$$(VERILATE) --noassert --prefix Vdither_core --top-module dither_core -GRows=$$(ROWS_$(2)) $$(OPTIONS_$(2)) $(3) \
	  --output-split 20000 --output-split-cfuncs 2000 --Mdir $$(@D) $$(RTL_PKGS) rtl/core/dither_core.sv
build/$(1)/core/Vdither_core__ALL.a: build/$(1)/core/Vdither_core.mk
	@echo '  compile  $(1) core'
	$$(VL_MAKE) -f Vdither_core.mk Vdither_core__ALL.a verilated.o verilated_threads.o \
	  $(if $(filter 1,$(4)),verilated_fst_c.o) > $$(@D)/build.log 2>&1 || { cat $$(@D)/build.log; exit 1; }
	@touch $$@
build/$(1)/%.o: %.cpp build/$(1)/core/Vdither_core.mk
	@mkdir -p $$(@D)
	@echo '  c++      $$< ($(1))'
	@$$(CXX) $$(VL_FLAGS) -DVM_TRACE=$(4) -DDITHER_CONFIG='"$(2)"' -Ibuild/$(1)/core -c $$< -o $$@
PROGRAM_LIBS_$(1) = build/$(1)/sim/verilated/verilated_device.o build/host/libdither.a build/$(1)/core/Vdither_core__ALL.a
PROGRAM_LINK_$(1) = g++ $$^ build/$(1)/core/verilated.o build/$(1)/core/verilated_threads.o \
  $(if $(filter 1,$(4)),build/$(1)/core/verilated_fst_c.o) $$(LIBS) $(5) -o $$@
build/$(1)/digits: build/$(1)/sim/app/digits.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
build/$(1)/bench: build/$(1)/sim/app/bench.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
build/$(1)/gemm_bench: build/$(1)/sim/app/gemm_bench.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
build/$(1)/study_cost: build/$(1)/sim/app/study_cost.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
build/$(1)/train: build/$(1)/sim/app/train.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
build/$(1)/train_bench: build/$(1)/sim/app/train_bench.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
build/$(1)/wave_demo: build/$(1)/sim/app/wave_demo.o $$(PROGRAM_LIBS_$(1))
	@$$(PROGRAM_LINK_$(1))
-include build/$(1)/core/Vdither_core__ver.d
endef
$(foreach c,$(CONFIGS),$(eval $(call variant,$(c),$(c),,0)))
$(foreach c,$(CONFIGS),$(eval $(call variant,$(c)-trace,$(c),--trace-fst --trace-structs --trace-underscore,1)))
$(foreach c,$(CONFIGS),$(foreach t,2 4 8,$(eval $(call variant,$(c)-t$(t),$(c),--threads $(t),0))))
# For a check: two threads, and the rounders' words not whitened.
$(eval $(call variant,nano-t2-plain,nano,--threads 2 -GWhiten=0,0))

# The PE array at 128 x 128 by hierarchical verilation: one model serves all its tiles.
ARRAY_FULL := build/array-full
$(ARRAY_FULL)/Vpe_array_hier.mk:
	@mkdir -p $(@D)
	@echo '  verilate array-full (hierarchical)'
	@$(VERILATE) --hierarchical --noassert --prefix Vpe_array --top-module pe_array_full --Mdir $(@D) tb/tensor/array_public.vlt $(RTL_PKGS) \
	  tb/tensor/pe_array_full.sv > $(@D)/verilate.log 2>&1 || { cat $(@D)/verilate.log; exit 1; }
$(ARRAY_FULL)/Vpe_array__ALL.a: $(ARRAY_FULL)/Vpe_array_hier.mk
	@echo '  compile  array-full'
	$(VL_MAKE) -f Vpe_array_hier.mk > $(@D)/build.log 2>&1 || { cat $(@D)/build.log; exit 1; }
	$(VL_MAKE) -f Vpe_array.mk verilated.o verilated_dpi.o verilated_threads.o >> $(@D)/build.log 2>&1
	@touch $@
ARRAY_FULL_LIBS := $(ARRAY_FULL)/Vpe_array__ALL.a $(ARRAY_FULL)/Vpe_tile_*/libpe_tile_*.a \
  $(addprefix $(ARRAY_FULL)/,verilated.o verilated_dpi.o verilated_threads.o)
$(ARRAY_FULL)/%.o: %.cpp $(ARRAY_FULL)/Vpe_array__ALL.a
	@mkdir -p $(@D)
	@$(CXX) $(VL_FLAGS) -DDITHER_ARRAY_FULL -I$(ARRAY_FULL) -c $< -o $@
$(ARRAY_FULL)/bench: $(ARRAY_FULL)/sim/app/array_bench.o
	@g++ $^ $(ARRAY_FULL_LIBS) $(LIBS) -o $@
$(ARRAY_FULL)/test: $(ARRAY_FULL)/tb/tensor/pe_array_test.o build/host/tb/support/main.o
	@g++ $^ $(ARRAY_FULL_LIBS) $(LIBS) -o $@
build/tb/pe_array-16/bench: build/tb/pe_array-16/sim/app/array_bench.o build/tb/pe_array-16/Vpe_array__ALL.a
	@g++ $^ build/tb/pe_array-16/verilated.o build/tb/pe_array-16/verilated_threads.o $(LIBS) -o $@
-include $(ARRAY_FULL)/Vpe_array__hierVer.d

# ------------------------------------------------------------------------------------------ tests
include tb/tests.mk
-include $(shell [ -d build ] && find build -type f -name '*.d' ! -name '*__ver.d' ! -path '*/core/*' 2>/dev/null)
