# The rounder's pictures; make pictures-rounder runs it with data and out set to directories.
set terminal pngcairo size 900,540 font 'sans,12'
set border 3
set tics nomirror
set grid ytics lc rgb '#dddddd'

set output out.'/rounder_sums.png'
set title 'A bf16 weight of 1 and 10,000 updates of 0.0001'
set xlabel 'updates'
set ylabel 'weight'
set key top left
set yrange [0.9:2.1]
plot data.'/sums.dat' using 1:5 with lines lw 2 lc rgb '#d95f02' title 'bf16, stochastic', \
     data.'/sums.dat' using 1:3 with lines lw 3 lc rgb '#1b9e77' title 'fp32', \
     data.'/sums.dat' using 1:4 with lines lw 3 lc rgb '#7570b3' title 'bf16, nearest even (and toward zero): never moves'

set output out.'/rounder_errors.png'
set title 'Error of one rounding to bf16, inputs spread evenly'
set xlabel 'error in units of the last place'
set ylabel 'density'
set yrange [0:1.3]
set xrange [-1.05:1.05]
set key top right
plot data.'/errors.dat' using 1:2 with histeps lw 2 lc rgb '#7570b3' title 'nearest even', \
     data.'/errors.dat' using 1:3 with histeps lw 2 lc rgb '#d95f02' title 'stochastic', \
     data.'/errors.dat' using 1:4 with histeps lw 2 lc rgb '#666666' title 'toward zero'

set output out.'/rounder_drift.png'
set title 'Mean error of the stochastic sum, 512 weights on lanes of their own'
set xlabel 'updates'
set ylabel 'mean error'
set xrange [*:*]
set yrange [-0.012:0.012]
set key bottom right
plot data.'/drift.dat' using 1:(-$4):4 with filledcurves lc rgb '#eeeeee' title '4 sigma of the mean of 512', \
     data.'/drift.dat' using 1:3 with lines lw 2 lc rgb '#d95f02' title 'bf16, stochastic', \
     data.'/drift.dat' using 1:5 with lines lw 2 lc rgb '#1b9e77' title 'fp32', \
     data.'/drift.dat' using 1:2 with lines lw 2 lc rgb '#7570b3' title 'bf16, nearest even: leaves at once, -1 at the end'
