# The test programs: which module, which parameters, which sources.

# ---- C++ against C++: host_test NAME FOLDER links every tb/FOLDER/*_test.cpp with the host library.
define host_test
build/test/$(1): $$(patsubst %.cpp,build/host/%.o,$$(wildcard tb/$(2)/*.cpp)) build/host/tb/support/main.o build/host/libdither.a
	@mkdir -p $$(@D)
	@g++ $$^ $$(LIBS) -o $$@
TEST_PROGRAMS += build/test/$(1)
endef
$(foreach t,formats data function model model_check program train,$(if $(wildcard tb/$(t)/*_test.cpp),$(eval $(call host_test,$(t),$(t)))))

# ---- RTL against C++: rtl_test NAME TOP SOURCES PARAMETERS EXTRA_SV
define rtl_test
build/tb/$(1)/V$(2).mk:
	@mkdir -p $$(@D)
	@echo '  verilate $(1)'
	@$$(VERILATE) --assert --prefix V$(2) --top-module $(2) $(4) --Mdir $$(@D) $$(RTL_PKGS) $(5) \
	  $$(if $(5),,$$(firstword $$(wildcard rtl/*/$(2).sv)))
build/tb/$(1)/V$(2)__ALL.a: build/tb/$(1)/V$(2).mk
	$$(VL_MAKE) -f V$(2).mk V$(2)__ALL.a verilated.o verilated_threads.o > $$(@D)/build.log 2>&1 \
	  || { cat $$(@D)/build.log; exit 1; }
	@touch $$@
build/tb/$(1)/%.o: %.cpp build/tb/$(1)/V$(2).mk
	@mkdir -p $$(@D)
	@echo '  c++      $$< ($(1))'
	@$$(CXX) $$(VL_FLAGS) -Ibuild/tb/$(1) -c $$< -o $$@
build/test/$(1): $(patsubst %.cpp,build/tb/$(1)/%.o,$(3)) build/host/tb/support/main.o build/tb/$(1)/V$(2)__ALL.a build/host/libdither.a
	@mkdir -p $$(@D)
	@g++ $$^ build/tb/$(1)/verilated.o build/tb/$(1)/verilated_threads.o $$(LIBS) -o $$@
TEST_PROGRAMS += build/test/$(1)
-include build/tb/$(1)/V$(2)__ver.d
endef

# name | top | sources | parameters | SystemVerilog of the bench
$(eval $(call rtl_test,rounder,rounder,tb/rounder/rounder_test.cpp,,))
$(eval $(call rtl_test,lfsr,lfsr,tb/rounder/lfsr_test.cpp,,))
$(eval $(call rtl_test,lfsr-plain,lfsr,tb/rounder/lfsr_test.cpp,-GWhiten=0,))
$(eval $(call rtl_test,lfsr-pairs,lfsr,tb/rounder/lfsr_test.cpp,"-GPairs=1'b1",))
$(eval $(call rtl_test,fp_widen,fp_widen,tb/fp/fp_widen_test.cpp,,))
$(eval $(call rtl_test,fp32_fma,fp32_fma,tb/fp/fp32_fma_test.cpp,,))
$(eval $(call rtl_test,fp32_minmax,fp32_minmax,tb/fp/fp32_minmax_test.cpp,,))
$(eval $(call rtl_test,sum_acc,sum_acc,tb/fp/sum_acc_test.cpp,,))
$(eval $(call rtl_test,psum,psum,tb/psum/psum_test.cpp,-GRows=8,))
$(eval $(call rtl_test,sbuf-8,sbuf,tb/sbuf/sbuf_test.cpp,-GRows=8,))
$(eval $(call rtl_test,sbuf-16,sbuf,tb/sbuf/sbuf_test.cpp,-GRows=16,))
# Benches of the array read its shape and timing in the verilated class.
ARRAY := tb/tensor/array_public.vlt
$(eval $(call rtl_test,pe_array-8,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=8,))
$(eval $(call rtl_test,pe_array-16,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=16,))
# The array as it is synthesised, where simulation otherwise takes dot_group_model.
$(eval $(call rtl_test,pe_array-8-structure,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=8 +define+YOSYS,))
$(eval $(call rtl_test,pe_array-32-structure,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=32 +define+YOSYS,))
# Every cut, two row groups, two column groups, in both forms; the structure with prefix adders.
$(eval $(call rtl_test,pe_array-16-cuts,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=16 -GD=8 -GG=8 "-GCuts=7'h7f",))
$(eval $(call rtl_test,pe_array-16-cuts-structure,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=16 -GD=8 -GG=8 "-GCuts=7'h7f" "-GFast=1'b1" +define+YOSYS,))
# Four PEs above each other, so that sums travel; synthesised form.
$(eval $(call rtl_test,pe_array-16-d4,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=16 -GD=4 +define+YOSYS,))
# Pairs of 8-bit numbers: simulated form, structure, and structure with two groups each way and every cut.
$(eval $(call rtl_test,pe_array-8-pairs,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=8 "-GPairs=1'b1",))
$(eval $(call rtl_test,pe_array-8-pairs-structure,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=8 "-GPairs=1'b1" +define+YOSYS,))
$(eval $(call rtl_test,pe_array-16-pairs-cuts,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=16 -GD=8 -GG=8 "-GPairs=1'b1" "-GCuts=7'h7f",))
$(eval $(call rtl_test,pe_array-16-pairs-cuts-structure,pe_array,tb/tensor/pe_array_test.cpp,$(ARRAY) -GRows=16 -GD=8 -GG=8 "-GPairs=1'b1" "-GCuts=7'h7f" +define+YOSYS,))
# Random dot products on the array, simulated and synthesised (d4) form: a million in make test, more in make soak-array.
define array_soak
build/soak/$(1): build/tb/$(1)/tb/tensor/array_soak.o build/tb/$(1)/Vpe_array__ALL.a
	@mkdir -p $$(@D)
	@g++ $$^ build/tb/$(1)/verilated.o build/tb/$(1)/verilated_threads.o $$(LIBS) -o $$@
endef
$(foreach a,pe_array-16 pe_array-16-d4,$(eval $(call array_soak,$(a))))
# Every product through one PE: simulated and synthesised form.
$(eval $(call rtl_test,pe_product,pe_product_tb,tb/tensor/pe_product_test.cpp,$(ARRAY),tb/tensor/pe_product_tb.sv))
$(eval $(call rtl_test,pe_product-structure,pe_product_tb,tb/tensor/pe_product_test.cpp,$(ARRAY) +define+YOSYS,tb/tensor/pe_product_tb.sv))
$(eval $(call rtl_test,tensor_engine-8,tensor_engine,tb/tensor/tensor_engine_test.cpp,-GRows=8,))
$(eval $(call rtl_test,tensor_engine-16,tensor_engine,tb/tensor/tensor_engine_test.cpp,-GRows=16,))
$(eval $(call rtl_test,tensor_engine-8-pairs,tensor_engine,tb/tensor/tensor_engine_test.cpp,-GRows=8 "-GPairs=1'b1",))
build/test/tensor_engine-8-pairs: VL_FLAGS += -DDITHER_PAIRS
$(eval $(call rtl_test,nonfinite,nonfinite,tb/tensor/nonfinite_test.cpp,-GRows=128 -GCountW=10,))
$(eval $(call rtl_test,vector_engine,vector_engine,tb/vector/vector_engine_test.cpp,-GRows=8,))
$(eval $(call rtl_test,vector_engine-plain,vector_engine,tb/vector/vector_engine_test.cpp,-GRows=8 -GWhiten=0,))
$(eval $(call rtl_test,scalar_engine,scalar_engine,tb/scalar/scalar_engine_test.cpp,-GRows=8,))
$(eval $(call rtl_test,dma-128,dma_tb,tb/dma/dma_test.cpp,-GAxiBits=128,tb/dma/dma_tb.sv))
$(eval $(call rtl_test,dma-256,dma_tb,tb/dma/dma_test.cpp,-GAxiBits=256,tb/dma/dma_tb.sv))
$(eval $(call rtl_test,instr_check,instr_check_tb,tb/sequencer/instr_check_test.cpp,,tb/sequencer/instr_check_tb.sv))
$(eval $(call rtl_test,front_end,front_end,tb/sequencer/front_end_test.cpp,-GRows=8,))
$(eval $(call rtl_test,csr,csr,tb/csr/csr_test.cpp,-GRows=8,))

# Built with plain LFSRs or with two words a cycle: the bench has to know.
build/test/lfsr-pairs: VL_FLAGS += -DDITHER_LFSR_PAIRS
build/test/lfsr-plain build/test/vector_engine-plain: VL_FLAGS += -DDITHER_PLAIN_LFSR

# ---- the Verilated rounder over all random words: make soak-rounder, not make test
build/soak/rounder: build/tb/rounder/tb/rounder/soak_test.o build/host/tb/support/main.o build/tb/rounder/Vrounder__ALL.a build/host/libdither.a
	@mkdir -p $(@D)
	@g++ $^ build/tb/rounder/verilated.o build/tb/rounder/verilated_threads.o $(LIBS) -o $@

# ---- whole programs, the same sources on the functional model and on the Verilated core (device_test speaks of nano)
SYSTEM_SRC := $(wildcard tb/system/*_test.cpp)
build/test/system-functional: $(SYSTEM_SRC:%.cpp=build/host/%.o) build/host/tb/system/make_functional.o \
  build/host/tb/support/main.o build/host/libdither.a
	@mkdir -p $(@D)
	@g++ $^ $(LIBS) -o $@
# nanopair is nano and pairs: of it the pairs only.
SYSTEM_SRC_nanopair := tb/system/pair_test.cpp tb/system/verilated/make_verilated.cpp tb/system/verilated/pair_cycles_test.cpp
define system_test
build/test/system-$(1): $(patsubst %.cpp,build/$(1)/%.o,$(or $(SYSTEM_SRC_$(1)),$(filter-out $(if $(filter-out nano,$(1)),tb/system/device_test.cpp),$(SYSTEM_SRC)) $(wildcard tb/system/verilated/*.cpp))) \
  build/host/tb/support/main.o $$(PROGRAM_LIBS_$(1))
	@mkdir -p $$(@D)
	@$$(PROGRAM_LINK_$(1))
endef
$(foreach c,$(CONFIGS),$(eval $(call system_test,$(c))))
TEST_PROGRAMS += build/test/system-functional build/test/system-nano build/test/system-tiny build/test/system-nanopair

# ---- checks that are commands
CHECKS := generated results proof plan main-job threads train train-py gemm-bench waves lint hierarchy synth-nano results-py synth-py study-data-py study-py study-run study-page setup proof-array soak-array
CHECK_proof := python3 scripts/proof.py
CHECK_plan := python3 scripts/check_plan.py
CHECK_generated := python3 scripts/gen_isa.py --check && python3 scripts/gen_exp2.py --check && build/host/functions check \
  && timeout 20 build/host/functions soak 0 exp 2>&1 | grep -q 'STEP is 0'
CHECK_results := python3 scripts/results.py check
CHECK_lint := scripts/lint.sh
# The tiles of the full array as blocks of their own; `make regress` also runs them.
CHECK_hierarchy := make -s build/array-full/Vpe_array_hier.mk
CHECK_main-job := build/tiny/digits --model build/model/$$(scripts/fetch_data.sh --which).dmlp --images 300
# An epoch, three steps of it on the RTL too; one more from the checkpoint; then there is nothing left, and the accuracy is said again.
TRAIN_CHECK := build/tiny/train --data build/data/$$(scripts/fetch_data.sh --which) --hidden 32 --checkpoint build/train/check.ckpt
CHECK_train := $(TRAIN_CHECK) --epochs 1 && $(TRAIN_CHECK) --epochs 2 --resume \
  && $(TRAIN_CHECK) --epochs 2 --resume > build/train/again.log && grep -q 'nothing left to train' build/train/again.log \
  && ! grep -q 'accuracy *0.00' build/train/again.log
CHECK_train-py := python3 scripts/train_test.py
# Two simulation threads, stochastic rounding with plain words by both engines, every rounder state compared: the same run as with one.
CHECK_threads := build/nano-t2-plain/digits --model build/model/$$(scripts/fetch_data.sh --which).dmlp --images 40 --stochastic && \
  build/nano-t2-plain/train --data build/data/$$(scripts/fetch_data.sh --which) --hidden 8 --batch 8 --rtl-steps 2 --epochs 1 --checkpoint build/train/plain.ckpt
CHECK_gemm-bench := build/tiny/gemm_bench --bars --no-square --draw log --shapes 12
# Mapping the core and its two widest engines as well takes half an hour: `make regress`, `make synth`.
CHECK_synth-nano := python3 synth/synth.py --config nano --no-results --checks-only --blocks core,vector_engine,scalar_engine \
  && python3 synth/synth.py --config nano --jobs 2 --no-results --blocks pe_array,tensor_engine,psum,sbuf,rounder,fp32_fma,dma,sequencer,fetch,csr
CHECK_waves := scripts/wave.sh --check build/nano-trace/wave_demo build/wave/demo.fst
CHECK_results-py := python3 scripts/results_test.py
CHECK_synth-py := python3 synth/synth_test.py
CHECK_study-data-py := python3 scripts/study_data_test.py
CHECK_study-py := python3 scripts/study_test.py
CHECK_study-run := python3 scripts/study_run_test.py
CHECK_study-page := python3 scripts/study.py report --check
CHECK_setup := scripts/setup.sh --check sim synth wave
# A million of the simulated form, a fifth of it of the synthesised one; a wrong expectation has to be noticed.
CHECK_soak-array := build/soak/pe_array-16 --dots 1000000 && build/soak/pe_array-16-d4 --dots 200000 && ! build/soak/pe_array-16 --dots 1000 --broken
CHECK_proof-array := python3 scripts/array_proof.py --quick

all-tests: $(TEST_PROGRAMS) build/host/functions build/host/study_run build/host/study_host build/tiny/digits build/nano-t2-plain/digits build/nano-t2-plain/train build/tiny/train build/host/host_train build/nano-trace/wave_demo build/tiny/bench build/tiny/gemm_bench build/soak/pe_array-16 build/soak/pe_array-16-d4
